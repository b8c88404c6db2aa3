"""Measures this library against its peers: `make bench`.

Builds the rows with release flags into build/bench, loads them into each interpreter, and prints
for each row and peer the ratio of the medians of one run, in which all repetitions of an area are
interleaved. build/bench/summary.json gets the same. docs/benchmarks.md says what the rows are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from inside import OURS, PEERS_ONLY
from measure import (
    AREAS,
    C_AREAS,
    FOLDER,
    Pace,
    Python,
    Results,
    build,
    describe,
    require_package,
    run_c,
    run_python,
)
from report import Goals, compare, markdown, show, show_counters, show_peers
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from tooling import ROOT, ToolError, environments, report_errors


def progress_on(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def measure(
    console: Console,
    interpreters: list[Python],
    areas: list[str],
    pace: Pace,
    summary: Path,
    tables: Path,
) -> int:
    if "python" in areas:
        for one in interpreters:
            require_package(one)
    goals = Goals(ROOT / "bench" / "goals.toml")
    results: Results = {}
    with progress_on(console) as progress:
        task = progress.add_task("build")
        modules = build(interpreters) if set(areas) & set(C_AREAS) else FOLDER
        for one, area in itertools.product(interpreters, areas):
            progress.update(task, description=f"{area} on {one.name}")
            if not console.is_terminal:
                print(f"{area} on {one.name} ...", flush=True)
            new = run_python(one, pace) if area == "python" else run_c(area, one, modules, pace)
            if not new:
                raise ToolError(f"{area} on {one.name}: no row ran")
            results |= new

    rows = sorted(compare(results, goals), key=lambda row: AREAS.index(row.area))
    names = ", ".join(one.name for one in interpreters)
    console.print(f"{names}; medians of {pace.repetitions} interleaved repetitions of one run")
    if rows:
        show(console, rows)
    show_peers(console, results)
    show_counters(console, results)
    summary.parent.mkdir(parents=True, exist_ok=True)
    summary.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    console.print(f"{summary}: {len(rows)} rows")
    tables.write_text(markdown(results))
    return 0


def vary(
    console: Console, interpreters: list[Python], areas: list[str], pace: Pace, wanted: str
) -> int:
    """Our own rows, with a constant of the library set to each of some values."""
    name, _, listed = wanted.partition("=")
    values = [value for value in listed.split(",") if value]
    areas = [area for area in areas if area in C_AREAS and area not in PEERS_ONLY]
    if len(values) < 2 or not areas:
        raise ToolError("--vary wants NAME=VALUE,VALUE and rows in C")
    guard = re.compile(rf"^#ifndef {re.escape(name)}$", re.MULTILINE)
    files = [file for top in ("include", "src") for file in (ROOT / top).rglob("*.[ch]")]
    if not any(guard.search(file.read_text()) for file in files):
        raise ToolError(f"--vary: nothing in include/ or src/ lets {name} be set from outside")

    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with progress_on(console) as progress:
        task = progress.add_task("build")
        modules = {value: build(interpreters, f"{name}={value}") for value in values}
        # One round after the other: what disturbs the machine for a while disturbs all values.
        rounds = itertools.product(range(pace.repetitions), values, interpreters, areas)
        for count, value, one, area in rounds:
            what = f"round {count + 1}: {name}={value}, {area} on {one.name}"
            progress.update(task, description=what)
            once = Pace(1, pace.seconds)
            for case, impls in run_c(area, one, modules[value], once, OURS).items():
                ours = impls[OURS]
                row = f"{case.area}: {case.text}"
                figures[row][value].append(ours.ns)
                for counter, figure in ours.counters.items():
                    figures[f"{row}: {counter} (not ns)"][value].append(figure)
    if not figures:
        raise ToolError("no row ran")
    table = Table(title=f"ns an operation by {name}", title_justify="left")
    table.add_column("row")
    for value in values:
        table.add_column(value, justify="right")
    for row, by_value in figures.items():
        medians = [f"{statistics.median(by_value[value]):.2f}" for value in values]
        table.add_row(escape(row), *medians)
    console.print(table)
    return 0


def work(arguments: argparse.Namespace) -> int:
    paths = arguments.python or environments()
    for path in paths:
        if not path.exists():
            raise ToolError(f"{path} is not there; run tools/setup --for bench, or say --python")
    interpreters = [describe(path) for path in paths]
    if len({one.tag for one in interpreters}) != len(interpreters):
        raise ToolError("two of the interpreters are of one version and kind")
    FOLDER.mkdir(parents=True, exist_ok=True)
    console = Console()
    areas = arguments.area or list(AREAS)
    pace = Pace(3, 0.02) if arguments.quick else Pace(11, 0.1)
    if arguments.vary:
        return vary(console, interpreters, areas, pace, arguments.vary)
    return measure(console, interpreters, areas, pace, arguments.summary, arguments.markdown)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure this library against its peers.")
    parser.add_argument("--area", action="append", choices=AREAS, help="default: all")
    parser.add_argument("--quick", action="store_true", help="a first impression: less time a row")
    parser.add_argument(
        "--python",
        nargs="+",
        type=Path,
        help="interpreters to load the rows; with the area python, ones that have the package "
        "(default: the environments of tools/setup, one of each kind)",
    )
    parser.add_argument(
        "--summary",
        type=Path,
        default=FOLDER / "summary.json",
        help="where the list of pairs goes (default: build/bench/summary.json)",
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        default=FOLDER / "figures.md",
        help="where the figures go as tables for docs/ (default: build/bench/figures.md)",
    )
    parser.add_argument(
        "--vary",
        metavar="NAME=VALUE,VALUE",
        help="instead: our own rows with a constant of the library set to each value, such as "
        "LW_SPIN_PAUSES=1,64,256; this is how the constants were chosen",
    )
    arguments = parser.parse_args()
    return report_errors(lambda: work(arguments))


if __name__ == "__main__":
    sys.exit(main())
