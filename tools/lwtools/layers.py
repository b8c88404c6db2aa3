"""The rules between files that no compiler checks.

A file may include files of its own layer and of those below it. A source's layer is its folder
under src/; a public header's is the folder of the source of the same name.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .common import ROOT, say

# From the bottom up. "words" has no code of its own, only what the others are written in.
LAYERS = ["words", "platform", "base", "locks", "lifetime", "containers", "python", "all"]

# Headers whose layer is not that of a source, each for a reason.
HEADER_LAYERS = {
    "config.h": "words",  # no source
    "atomic.h": "words",  # no source
    "atomic/gnu.h": "words",
    "atomic/msvc.h": "words",
    "atomic/noise.h": "words",
    "atomic/relacy.h": "words",
    "atomic/tsan.h": "words",
    "status.h": "words",  # what the platform layer returns; its source only names the values
    "latchwork.h": "containers",  # no source: the umbrella over all that needs no Python
    "latchwork.hpp": "containers",  # no source: the same, in C++
}
# Given on the command line of the model checker, from tests/model.
HEADERS_FROM_ELSEWHERE = {"platform_model.h"}

ATOMIC_HOME = ("include/latchwork/atomic.h", "include/latchwork/atomic/")
ATOMIC_SPELLING = re.compile(
    r"__atomic_\w+|__sync_\w+|\b_Interlocked\w+|\b_Atomic\b|stdatomic|\b_Py_atomic_\w+"
)
ATOMIC_FOLDERS = ("include", "src", "pyext", "examples")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?P<form>[<"])(?P<name>[^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


@dataclass
class Report:
    checked: int = 0
    problems: list[str] = field(default_factory=list)


def c_files(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in (".c", ".h", ".cc", ".cpp", ".hpp") and "build" not in file.parts:
                yield file


def without_comments(text: str) -> str:
    """The text with comments and strings blanked, line numbers unchanged. Includes survive."""

    def blank(match: re.Match[str]) -> str:
        line_start = text.rfind("\n", 0, match.start()) + 1
        if match[0].startswith('"') and text[line_start : match.start()].lstrip().startswith("#"):
            return match[0]
        return re.sub(r"[^\n]", " ", match[0])

    return COMMENT_OR_STRING.sub(blank, text)


class Layers:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.report = Report()
        self.sources: dict[str, set[str]] = {}
        for file in sorted((root / "src").glob("*/*.c")):
            self.sources.setdefault(file.stem, set()).add(file.parent.name)

    def problem(self, where: str, what: str) -> None:
        self.report.problems.append(f"{where}: {what}")

    def of_header(self, name: str) -> str | None:
        if name in HEADER_LAYERS:
            return HEADER_LAYERS[name]
        layers = self.sources.get(name.removesuffix(".h"), set())
        return next(iter(layers)) if len(layers) == 1 else None

    def of_path(self, path: Path) -> str | None:
        parts = path.relative_to(self.root).parts
        if parts[:2] == ("include", "latchwork"):
            return self.of_header("/".join(parts[2:]))
        if parts[0] == "src":
            return parts[1] if len(parts) > 2 else "all"
        return None

    def resolve(self, file: Path, form: str, name: str) -> Path | None:
        """The file of this project that an include means; None for another's."""
        folders = [self.root / "include", self.root / "src"]
        if form == '"':
            folders.insert(0, file.parent)
        for folder in folders:
            path = Path(os.path.normpath(folder / name))
            if path.is_file() and path.is_relative_to(self.root):
                return path
        return None

    def check(self) -> Report:
        for name in HEADER_LAYERS:
            if not (self.root / "include" / "latchwork" / name).is_file():
                self.problem("tools/lwtools/layers.py", f"names {name}, which does not exist")
        for file in c_files(self.root, ("include", "src")):
            self.check_includes(file)
        for file in c_files(self.root, ATOMIC_FOLDERS):
            self.check_atomics(file)
        return self.report

    def check_includes(self, file: Path) -> None:
        where = str(file.relative_to(self.root))
        layer = self.of_path(file)
        if layer not in LAYERS:
            self.problem(
                where,
                "has no layer: neither one source src/LAYER/ of its name nor a line in "
                "tools/lwtools/layers.py",
            )
            return
        text = without_comments(file.read_text())
        for match in INCLUDE.finditer(text):
            self.report.checked += 1
            line = f"{where}:{text.count(chr(10), 0, match.start()) + 1}"
            name = match["name"]
            if name == "Python.h" and layer not in ("python", "all"):
                self.problem(line, f"layer {layer} includes Python.h")
            target = self.resolve(file, match["form"], name)
            if target is None:
                ours = match["form"] == '"' or name.startswith("latchwork/")
                if ours and name not in HEADERS_FROM_ELSEWHERE:
                    self.problem(line, f"includes {name}, which does not exist")
                continue
            other = self.of_path(target)
            # A header without a layer is a problem of its own, reported once.
            if other in LAYERS and LAYERS.index(other) > LAYERS.index(layer):
                self.problem(line, f"layer {layer} includes {name}, which is of layer {other}")

    def check_atomics(self, file: Path) -> None:
        where = file.relative_to(self.root).as_posix()
        if where.startswith(ATOMIC_HOME):
            return
        self.report.checked += 1
        text = without_comments(file.read_text())
        for match in ATOMIC_SPELLING.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            self.problem(f"{where}:{line}", f"spells {match[0]}; only atomic.h may")


def main() -> int:
    report = Layers(ROOT).check()
    for problem in report.problems:
        print(problem, file=sys.stderr)
    say(f"layers: {report.checked} includes and files checked, {len(report.problems)} wrong")
    return 1 if report.problems or not report.checked else 0
