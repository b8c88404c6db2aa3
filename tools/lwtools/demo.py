"""The main job on both kinds of interpreter: `python -m latchwork demo` on each."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from . import interpreters, setup
from .common import BUILD, ToolError, report_errors, say


def _run(command: list[str | Path]) -> int:
    """On this terminal, so that progress and Ctrl-C are the program's own business."""
    process = subprocess.Popen(command)
    while True:
        # Ctrl-C reaches the program too; it ends in its own time and its own words.
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def run_demo(words: list[str]) -> int:
    for word in words:
        if word.split("=")[0] in ("--json", "--plot", "--explain"):
            raise ToolError(f"{word}: the results of both interpreters go to build/demo already")
    pair = setup.demo_pair(interpreters.find())
    folder = BUILD / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Path] = []
    python: Path | None = None
    for one in pair:
        python = setup.environment_of(one).python
        if not python.exists():
            raise ToolError(f"{python} is not there; run tools/setup --for demo first")
        say(f"\n{one.version} {one.kind}: {one.path}")
        result = folder / f"{one.tag}.json"
        command = [python, "-m", "latchwork", "demo", *words]
        status = _run([*command, "--json", result, "--plot", folder / f"{one.tag}.svg"])
        if status != 0:
            return status if status > 0 else 128 - status
        missing = json.loads(result.read_text())["missing"]
        if missing:
            raise ToolError(f"not every engine ran: {missing[0]['engine']}: {missing[0]['why']}")
        results.append(result)
    if python is None or len(results) != 2:
        raise ToolError("the demo needs a GIL and a free-threaded interpreter")
    say("")
    status = _run([python, "-m", "latchwork", "demo", "--explain", *results])
    if status == 0:
        say("\nTables as JSON and pictures as SVG: build/demo/")
    return status


def main() -> int:
    return report_errors(lambda: run_demo(sys.argv[1:]))
