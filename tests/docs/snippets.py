"""Finds the code blocks of a Markdown page and runs them as a reader would.

A comment before a block says what becomes of it; a page renders without it:

    <!-- test: file NAME -->    saved as NAME in the page's scratch folder
    <!-- test: run -->          run there: sh, python, c or cpp (a program without Python)
    <!-- test: output -->       what the last run ended its output with
    <!-- test: make -->         each line is a target of this checkout's Makefile
    <!-- test: skip, REASON --> left alone
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]

COMPILERS = {"c": ["cc"], "cpp": ["c++", "-std=c++17"]}

BLOCK = re.compile(
    r"^(?:<!-- test: (?P<what>.*?) -->\n)?```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    what: str | None
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [
        Block(page, text.count("\n", 0, m.start()) + 1, m["what"], m["language"], m["text"])
        for m in BLOCK.finditer(text)
    ]
    fences = sum(line.startswith("```") for line in text.splitlines())
    assert fences == 2 * len(found), f"{page}: a code block is not closed, or indented"
    return found


def environment(scratch: Path) -> dict[str, str]:
    """`python` and `pip` are those of this interpreter; what pip installs goes to the scratch
    folder, and nothing comes from the network. Extensions run for a moment, and so are compiled in
    one, too."""
    here = Path(sys.executable).parent
    assert (here / "python").exists(), "the tests run in a virtual environment"
    site = scratch / "site"
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(here), os.environ["PATH"]]),
        "PYTHONPATH": path,
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "CFLAGS": "-O1",
    }


class Runner:
    """Runs the blocks of one page, in their order, in a folder of their own."""

    def __init__(self, scratch: Path, folder: Path) -> None:
        self.scratch = scratch
        self.folder = folder
        self.output: list[str] | None = None
        self.ran = 0

    def do(self, block: Block) -> None:
        what, _, rest = (block.what or "").partition(" ")
        if what == "file":
            (self.folder / rest).write_text(block.text, encoding="utf-8")
        elif what == "run":
            self.output = self._run(block).splitlines()
        elif what == "output":
            assert self.output is not None, f"{block}: the output of nothing"
            expected = block.text.splitlines()
            assert self.output[-len(expected) :] == expected, f"{block}: is not what was printed"
        elif what == "make":
            for line in block.text.splitlines():
                self._command(block, ["make", "-n", *shlex.split(line, comments=True)[1:]], ROOT)
        else:
            assert what == "skip,", f"{block}: what is {block.what!r}?"
            assert rest, f"{block}: why is it left alone?"
            return
        self.ran += 1

    def _run(self, block: Block) -> str:
        if block.language == "sh":
            return self._command(block, ["bash", "-euo", "pipefail", "-c", block.text], self.folder)
        if block.language == "python":
            file = self.folder / f"line_{block.line}.py"
            file.write_text(block.text, encoding="utf-8")
            return self._command(block, [sys.executable, file], self.folder)
        assert block.language in COMPILERS, f"{block}: cannot run {block.language}"
        file = self.folder / f"line_{block.line}.{block.language}"
        file.write_text(block.text, encoding="utf-8")
        program, library = file.with_suffix(""), file.with_suffix(".o")
        options = [*WARNINGS, "-pthread", "-I", ROOT / "include"]
        compiler = COMPILERS[block.language]
        self._command(block, ["cc", *options, "-c", ROOT / "src/all.c", "-o", library], self.folder)
        self._command(block, [*compiler, *options, file, library, "-o", program], self.folder)
        return self._command(block, [program], self.folder)

    def _command(self, block: Block, command: list[str | Path], folder: Path) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(self.scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{block}: exit status {done.returncode}\n{done.stdout}"
        return done.stdout
