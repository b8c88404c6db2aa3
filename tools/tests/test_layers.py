"""The layer check fails on what it is there for, and on nothing else."""

from pathlib import Path

import pytest
from lwtools import layers
from lwtools.layers import Layers


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in layers.HEADER_LAYERS:
        put(tmp_path, f"include/latchwork/{name}", "#include <stdint.h>\n")
    put(tmp_path, "include/latchwork/park.h", "#include <latchwork/atomic.h>\n")
    put(tmp_path, "src/base/park.c", "#include <latchwork/park.h>\n#include <pthread.h>\n")
    put(tmp_path, "include/latchwork/mutex.h", "#include <latchwork/park.h>\n")
    put(tmp_path, "src/locks/mutex.c", '#include <latchwork/mutex.h>\n#include "../base/in.h"\n')
    put(tmp_path, "src/base/in.h", "#include <latchwork/park.h>\n")
    put(tmp_path, "src/all.c", '#include "base/park.c"\n#include "locks/mutex.c"\n')
    return tmp_path


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_a_good_tree_passes(tree: Path) -> None:
    report = Layers(tree).check()
    assert report.problems == []
    assert report.checked > 20


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("src/base/park.c", "\n#include <latchwork/mutex.h>\n", "park.c:2: layer base includes"),
        ("src/base/in.h", '#include "../locks/mutex.c"\n', "which is of layer locks"),
        ("include/latchwork/park.h", '#  include "mutex.h"\n', "which is of layer locks"),
        ("include/latchwork/atomic.h", "#include <latchwork/park.h>\n", "which is of layer base"),
        ("src/base/park.c", "#include <Python.h>\n", "includes Python.h"),
        ("src/base/park.c", "#include <latchwork/gone.h>\n", "which does not exist"),
        ("include/latchwork/new.h", "#include <stdint.h>\n", "has no layer"),
        ("src/extra/new.c", "#include <stdint.h>\n", "has no layer"),
        ("src/locks/mutex.c", "int f(void) { return __atomic_load_n(p, 0); }\n", "spells __atomic"),
        ("pyext/src/x.c", "#include <stdatomic.h>\n", "spells stdatomic"),
        ("src/locks/mutex.c", "_InterlockedOr(a, b);\n", "spells _InterlockedOr"),
        ("include/latchwork/x.h", "_Py_atomic_load_uint8(p);\n", "spells _Py_atomic_load"),
    ],
)
def test_a_planted_fault_is_named(tree: Path, file: str, text: str, problem: str) -> None:
    put(tree, file, text)
    problems = Layers(tree).check().problems
    assert any(problem in line for line in problems), problems


def test_comments_and_strings_are_not_code(tree: Path) -> None:
    put(
        tree,
        "src/base/park.c",
        '/* #include <latchwork/mutex.h>\n __atomic_load */\n// _Atomic\nchar *s = "__sync_x";\n',
    )
    assert Layers(tree).check().problems == []


def test_a_line_of_the_table_without_a_header_is_a_fault(tree: Path) -> None:
    (tree / "include/latchwork/status.h").unlink()
    assert any("status.h, which does not exist" in line for line in Layers(tree).check().problems)
