"""Every planted bug fits the sources. `make verify`, which plants them, would say so much later."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(folder: Path) -> ModuleType:
    name = f"{folder.name}_plants"
    spec = importlib.util.spec_from_file_location(name, folder / "plants.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", ["plants", "model"])
def test_every_edit_fits_once(folder):
    wrong = []
    for plant in load(ROOT / "tests" / folder).PLANTS:
        texts: dict[str, str] = {}
        for edit in plant.edits:
            text = texts.get(edit.file) or (ROOT / edit.file).read_text()
            texts[edit.file], fits = edit.apply(text)
            if fits != 1:
                wrong.append(f"{plant.name} fits {fits} times in {edit.file}: {edit.old!r}")
    assert wrong == []
