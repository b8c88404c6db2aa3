"""Each example, built the way its README says, and run."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from snippets import ROOT, WARNINGS, Runner, blocks

EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())
SOURCES = sorted((ROOT / "examples").rglob("*.c"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_readme_builds_and_runs_it(example: str, tmp_path: Path) -> None:
    # Where a README says ../../include, it means the checkout's.
    for folder in ("include", "src"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    folder = tmp_path / "examples" / example
    ignore = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "examples" / example, folder, ignore=ignore)
    runner = Runner(tmp_path, folder)
    for block in blocks(ROOT / "examples" / example / "README.md"):
        runner.do(block)
    assert runner.ran >= 2
    assert runner.output


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_compiler_warns(source: Path, compiler: str, tmp_path: Path) -> None:
    include = ["-I", ROOT / "include", "-I", sysconfig.get_path("include")]
    command = [compiler, "-std=c11", "-O2", "-fPIC", *WARNINGS, *include, "-c", source]
    done = subprocess.run(
        [*command, "-o", tmp_path / "object"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
