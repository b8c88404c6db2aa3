"""Interpreters are found once each, and the right ones are chosen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lwtools import cpython_build, interpreters
from lwtools.common import ToolError
from lwtools.interpreters import FREE_THREADED, GIL, Interpreter

REAL = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home, a cache and a PATH with no interpreter in them."""
    for variable in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME", "LATCHWORK_PYTHONS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def one(version: str, kind: str = GIL, **more: object) -> Interpreter:
    fields: dict[str, object] = {
        "path": f"/{version}",
        "found_by": "PATH",
        "headers": True,
        "tsan": False,
    }
    minor = ".".join(version.split(".")[:2])
    return Interpreter(version, minor, kind, **(fields | more))  # type: ignore[arg-type]


def test_links_to_one_program_are_one_interpreter(bare: Path) -> None:
    for name in ("python3", "python3.11", "python3.99"):
        (bare / "bin" / name).symlink_to(REAL)
    (found,) = interpreters.find()
    assert found.path == REAL
    assert found.chosen


def test_a_virtual_environment_is_its_base(bare: Path) -> None:
    subprocess.run([REAL, "-m", "venv", "--without-pip", bare / "venv"], check=True)
    os.environ["PATH"] = str(bare / "venv" / "bin")
    (found,) = interpreters.find()
    assert found.path == REAL


@pytest.mark.parametrize(
    ("folder", "found_by"),
    [
        (".pyenv/versions/3.x/bin", "pyenv"),
        (".local/share/uv/python/cpython-3.x/bin", "uv"),
        ("cache/latchwork/cpython-3.13t/bin", "cache"),
    ],
)
def test_the_usual_places(bare: Path, folder: str, found_by: str) -> None:
    (bare / folder).mkdir(parents=True)
    (bare / folder / "python3").symlink_to(REAL)
    (found,) = interpreters.find()
    assert (found.path, found.found_by) == (REAL, found_by)


def test_what_does_not_run_is_left_out(bare: Path) -> None:
    broken = bare / "bin" / "python3"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    (bare / "bin" / "python3.12").symlink_to(bare / "gone")
    (bare / "bin" / "python3.13").write_text("not a program")
    assert interpreters.find() == []


def test_answers_are_kept_until_the_program_changes(bare: Path) -> None:
    program = bare / "bin" / "python3"
    program.write_text(f'#!/bin/sh\necho asked >> {bare}/count\nexec {REAL} "$@"\n')
    program.chmod(0o755)
    for _ in range(3):
        assert [one.path for one in interpreters.find()] == [REAL]
    assert (bare / "count").read_text() == "asked\n"
    os.utime(program, (1, 1))
    interpreters.find()
    assert (bare / "count").read_text() == "asked\nasked\n"


@pytest.mark.parametrize("path", ["/no/such/python", "/bin/sh"])
def test_a_wrong_name_in_the_variable_is_an_error(
    bare: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("LATCHWORK_PYTHONS", path)
    with pytest.raises(ToolError, match=path):
        interpreters.find()


def test_the_newest_of_each_minor_version_and_kind_is_chosen() -> None:
    found = [
        one("3.13.9"),
        one("3.13.10"),
        one("3.13.11", headers=False),
        one("3.13.5", FREE_THREADED),
        one("3.13.6", FREE_THREADED, tsan=True),
        one("3.15.0a7"),
        one("3.15.0b1"),
        one("3.14.1", found_by="LATCHWORK_PYTHONS"),
        one("3.14.2"),
    ]
    interpreters._choose(found)
    assert [f"{each.version} {each.kind}" for each in found if each.chosen] == [
        "3.13.10 GIL",
        "3.13.5 free-threaded",
        "3.15.0b1 GIL",
        "3.14.1 GIL",
    ]


def test_a_failed_download_leaves_nothing_behind(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(cpython_build, "SUITE", "no-such-suite")
    monkeypatch.setattr("lwtools.apt.ensure", lambda purposes: None)
    with pytest.raises(ToolError, match="cannot download the source package") as caught:
        cpython_build.build(tsan=False)
    assert "\n" not in str(caught.value)
    left = sorted(path.name for path in (bare / "cache" / "latchwork").iterdir())
    assert left == ["cpython-3.13t.lock", "logs"]
