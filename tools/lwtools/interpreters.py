"""Find the CPython builds of this machine, and say which of them the tests use."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import glob
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import cpython_build
from .common import ToolError, cache_dir, report_errors, say

MINIMUM = (3, 11)
GIL = "GIL"
FREE_THREADED = "free-threaded"
SUPPORTED = [
    *[(f"3.{minor}", GIL) for minor in range(11, 16)],
    *[(f"3.{minor}", FREE_THREADED) for minor in range(13, 16)],
]

PROBE = """
import json, os, sys, sysconfig
v = sys.version_info
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": list(v[:3]),
    "suffix": {"alpha": "a", "beta": "b", "candidate": "rc"}[v[3]] + str(v[4])
    if v[3] != "final" else "",
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "include": sysconfig.get_path("include"),
    "tsan": "thread-sanitizer" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
}))
"""


@dataclass
class Interpreter:
    version: str
    minor: str
    kind: str
    path: str
    found_by: str
    headers: bool
    tsan: bool
    chosen: bool = False

    @property
    def tag(self) -> str:
        """Short and unique among the chosen ones: 3.12, 3.13t."""
        suffix = "t" if self.kind == FREE_THREADED else ""
        return self.minor + suffix + ("-tsan" if self.tsan else "")

    @property
    def name(self) -> str:
        return f"{self.version} {self.kind}{', ThreadSanitizer' if self.tsan else ''}"

    @property
    def order(self) -> tuple[object, ...]:
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])
        pre_release = re.search(r"(a|b|rc)(\d+)$", self.version)
        final = (pre_release[1], int(pre_release[2])) if pre_release else ("zz", 0)
        return (numbers, final)


def _programs(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [
        path
        # Of two hard links, the name that says "free-threaded" is the better one to show.
        for name in sorted(names, key=lambda name: (not name.endswith("t"), name))
        if re.fullmatch(r"python(3(\.\d+)?t?)?", name)
        and os.access(path := os.path.join(folder, name), os.X_OK)
    ]


def _candidates() -> Iterator[tuple[str, str]]:
    """Programs that may be a Python, and what led to each; earlier ones win."""
    home = str(Path.home())
    for path in filter(None, os.environ.get("LATCHWORK_PYTHONS", "").split(os.pathsep)):
        if not os.access(path, os.X_OK):
            raise ToolError(f"LATCHWORK_PYTHONS names {path}, which is not an executable")
        yield path, "LATCHWORK_PYTHONS"
    pyenv = os.environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    shims = os.path.realpath(os.path.join(pyenv, "shims"))
    for folder in dict.fromkeys(os.environ.get("PATH", "").split(os.pathsep)):
        # A shim only starts one of the versions that are looked up below.
        if folder and os.path.realpath(folder) != shims:
            yield from ((path, "PATH") for path in _programs(folder))
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    uv = os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python")
    for found_by, pattern in (
        ("pyenv", os.path.join(pyenv, "versions", "*", "bin")),
        ("uv", os.path.join(uv, "*", "bin")),
        ("cache", str(cache_dir() / "cpython-*" / "bin")),
    ):
        for folder in sorted(glob.glob(pattern)):
            yield from ((path, found_by) for path in _programs(folder))


def _probe(path: str) -> dict[str, object] | None:
    try:
        answer = subprocess.run(
            [path, "-I", "-S", "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return json.loads(answer.stdout) if answer.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


class _Answers:
    """What programs answered before, as long as their files stay as they are."""

    def __init__(self) -> None:
        self.file = cache_dir() / "probes.json"
        self.known: dict[str, dict[str, object]] = {}
        # An unreadable cache is as good as none.
        with contextlib.suppress(OSError, ValueError):
            self.known = dict(json.loads(self.file.read_text()))

    def ask(self, paths: list[str]) -> list[dict[str, object] | None]:
        keys = []
        for path in paths:
            status = os.stat(path)
            keys.append(f"{path} {status.st_ino} {status.st_size} {status.st_mtime_ns}")
        unknown = [path for path, key in zip(paths, keys, strict=True) if key not in self.known]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            new = dict(zip(unknown, pool.map(_probe, unknown), strict=True))
        answers = [
            self.known.get(key, new.get(path)) for path, key in zip(paths, keys, strict=True)
        ]
        if any(answer is not None for answer in new.values()):
            pairs = zip(keys, answers, strict=True)
            text = json.dumps(
                {key: answer for key, answer in pairs if answer is not None}, indent=1
            )
            with contextlib.suppress(OSError):
                self.file.parent.mkdir(parents=True, exist_ok=True)
                temporary = self.file.with_suffix(f".{os.getpid()}")
                temporary.write_text(text + "\n")
                temporary.rename(self.file)
        return answers


def find() -> list[Interpreter]:
    """Every supported CPython, once each, oldest first; the chosen ones are marked."""
    candidates: dict[str, tuple[str, str]] = {}
    for path, found_by in _candidates():
        candidates.setdefault(os.path.realpath(path), (path, found_by))
    answers = _Answers().ask([path for path, _ in candidates.values()])

    found: list[Interpreter] = []
    seen: set[tuple[int, int]] = set()
    for (path, found_by), answer in zip(candidates.values(), answers, strict=True):
        if answer is None or answer["implementation"] != "cpython":
            if found_by == "LATCHWORK_PYTHONS":
                raise ToolError(f"LATCHWORK_PYTHONS names {path}, which is no working CPython")
            continue
        version = list(answer["version"])  # type: ignore[call-overload]
        if tuple(version[:2]) < MINIMUM:
            continue
        executable = str(answer["executable"])
        # A copy or a hard link of a program is the same interpreter; so is a venv's base.
        status = os.stat(executable)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        found.append(
            Interpreter(
                version=".".join(map(str, version)) + str(answer["suffix"]),
                minor=f"{version[0]}.{version[1]}",
                kind=FREE_THREADED if answer["free_threaded"] else GIL,
                path=executable,
                found_by=found_by,
                headers=os.path.exists(os.path.join(str(answer["include"]), "Python.h")),
                tsan=bool(answer["tsan"]),
            )
        )
    _choose(found)
    return sorted(found, key=lambda one: (one.order, one.kind, one.tsan, one.path))


def _choose(found: list[Interpreter]) -> None:
    """Mark one interpreter for each minor version and kind: the newest that can build."""
    best: dict[str, Interpreter] = {}
    for one in found:
        rank = (one.found_by == "LATCHWORK_PYTHONS", one.headers, one.order)
        other = best.get(one.tag)
        if other is None or rank > (
            other.found_by == "LATCHWORK_PYTHONS",
            other.headers,
            other.order,
        ):
            best[one.tag] = one
    for one in best.values():
        one.chosen = not one.tsan


def chosen(found: list[Interpreter] | None = None) -> list[Interpreter]:
    return [one for one in (find() if found is None else found) if one.chosen]


def table(found: list[Interpreter]) -> str:
    rows = [("used", "version", "kind", "headers", "found by", "path")]
    for one in found:
        kind = one.kind + (", ThreadSanitizer" if one.tsan else "")
        headers = "yes" if one.headers else "no"
        used = "*" if one.chosen else ""
        rows.append((used, one.version, kind, headers, one.found_by, one.path))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def lacking(found: list[Interpreter], *, tsan: bool) -> list[bool]:
    """The builds that are not there: False for the free-threaded one, True for the other."""
    wanted = [False, True] if tsan else [False]
    have = {one.tsan for one in found if one.kind == FREE_THREADED}
    return [kind for kind in wanted if kind not in have]


def ensure(*, tsan: bool = False) -> list[Interpreter]:
    """Get a free-threaded build, and a ThreadSanitizer one if asked, where none is found."""
    found = find()
    for kind in lacking(found, tsan=tsan):
        if kind or not cpython_build.install_with_uv():
            cpython_build.build(tsan=kind)
        found = find()
        if kind in lacking(found, tsan=tsan):
            raise ToolError("a build was installed, but tools/interpreters does not find it")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/interpreters",
        description="List the CPython builds of this machine: on PATH, under pyenv and uv, in "
        "LATCHWORK_PYTHONS (path:path), and in this project's cache. The tests use those marked "
        "with a star: the newest of each minor version and kind.",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument(
        "--ensure",
        action="store_true",
        help="install a free-threaded build where none is found: with uv if that is here, else "
        f"built from Debian's source package into {cache_dir()}",
    )
    parser.add_argument(
        "--tsan", action="store_true", help="with --ensure: a ThreadSanitizer build beside it"
    )
    arguments = parser.parse_args()
    if arguments.tsan and not arguments.ensure:
        parser.error("--tsan goes with --ensure")

    def work() -> int:
        found = ensure(tsan=arguments.tsan) if arguments.ensure else find()
        if arguments.json:
            print(json.dumps([asdict(one) | {"tag": one.tag} for one in found], indent=2))
        elif found:
            say(table(found))
        else:
            raise ToolError("no CPython 3.11 or later was found")
        return 0

    return report_errors(work)


if __name__ == "__main__":
    sys.exit(main())
