"""Measures this library against its peers: `make bench`.

Builds the rows with release flags into build/bench, loads them into each interpreter, and prints
for each row and peer the ratio of the medians of one run, in which all repetitions of an area are
interleaved. build/bench/summary.json gets the same. docs/benchmarks.md says what the rows are.
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from inside import OURS, PEERS_ONLY
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from tooling import (
    BUILD,
    ROOT,
    ToolError,
    cores,
    environments,
    reason,
    report_errors,
    run_logged,
)

C_AREAS = ("locks", "refs", "smr", "map", "thread", "queues")
AREAS = (*C_AREAS[:-1], "python", "queues")
FOLDER = BUILD / "bench"
LIMIT_S = 1800.0
# What users' extensions are built with, for ours as for the peers.
RELEASE = "-O2 -DNDEBUG"


@dataclass
class Python:
    path: Path
    tag: str
    kind: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.version} {self.kind}"


@dataclass(frozen=True)
class Pace:
    repetitions: int
    seconds: float  # that a row takes, each time


@dataclass
class Row:
    """One line of the summary. Times are nanoseconds an operation, over all threads."""

    area: str
    row: str
    ours_ns: float
    peer: str
    peer_ns: float
    ratio: float
    goal: float | None
    met: bool | None


@dataclass(frozen=True)
class Case:
    area: str
    row: str
    threads: int
    python: str

    @property
    def text(self) -> str:
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.row}{threads} [{self.python}]"


Medians = dict[Case, dict[str, float]]


def describe(path: Path) -> Python:
    code = (
        "import sys, sysconfig as s; f = bool(s.get_config_var('Py_GIL_DISABLED')); "
        "print('%d.%d' % sys.version_info[:2] + 't' * f, 'free-threaded' if f else 'GIL', "
        "'%d.%d.%d' % sys.version_info[:3], sep=';')"
    )
    try:
        answer = subprocess.run(
            [path, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{path} is no working Python: {error}") from None
    return Python(path, *answer.stdout.strip().split(";"))


def run(command: Sequence[str | Path], log: Path, what: str, **env: str) -> None:
    status = run_logged(command, log, cwd=ROOT, env={**os.environ, **env}, limit_s=LIMIT_S)
    if status != 0:
        why = reason(log) if status is not None else f"ran past {LIMIT_S:.0f} s"
        raise ToolError(f"{what}: {why} (log: {log})")


def build(interpreters: list[Python], define: str = "") -> Path:
    """Where the modules are, compiled with a definition NAME=VALUE if one is given."""
    folder = FOLDER / f"cmake{f'-{define}' if define else ''}"
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    configure = [
        "cmake", "-S", ROOT, "-B", folder, "-G", "Ninja",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_C_FLAGS={f'-D{define}' if define else ''}",
        f"-DCMAKE_C_FLAGS_RELEASE={RELEASE}",
        f"-DCMAKE_CXX_FLAGS_RELEASE={RELEASE}",
        "-DLATCHWORK_TESTS=OFF",
        "-DLATCHWORK_BENCH=ON",
        f"-DLATCHWORK_BENCH_PYTHONS={';'.join(str(one.path) for one in interpreters)}",
    ]  # fmt: skip
    run(configure, log, "cannot configure the benchmarks")
    target = ["cmake", "--build", folder, "--target", "latchwork_bench"]
    run([*target, "--parallel", str(cores())], log, "cannot build the benchmarks")
    return folder / "bench"


def measure_c(area: str, one: Python, modules: Path, pace: Pace, impl: str = "") -> Medians:
    out = FOLDER / f"{area}-{one.tag}.json"
    out.unlink(missing_ok=True)
    options = [
        f"--benchmark_filter=^{area}/{f'.*/{impl}/' if impl else ''}",
        f"--benchmark_repetitions={pace.repetitions}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_min_time={pace.seconds}",
        f"--benchmark_out={out}",
        "--benchmark_out_format=json",
    ]
    log = out.with_suffix(".log")
    log.unlink(missing_ok=True)
    command = [one.path, ROOT / "bench" / "inside.py", modules / one.tag, *options]
    run(command, log, f"{area} on {one.name}")
    times: dict[Case, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    entries = json.loads(out.read_text())["benchmarks"]
    # Interleaving has shuffled them; a family's number is the place of its registration.
    for entry in sorted(entries, key=lambda entry: entry["family_index"]):
        if entry["run_type"] == "iteration":
            name, row, impl = entry["name"].split("/")[:3]
            case = Case(name, row, entry["threads"], one.tag)
            times[case][impl].append(entry["real_time"])
    return medians(times, pace.repetitions)


def measure_python(one: Python, pace: Pace) -> Medians:
    out = FOLDER / f"python-{one.tag}.json"
    out.unlink(missing_ok=True)
    log = out.with_suffix(".log")
    log.unlink(missing_ok=True)
    script = ROOT / "bench" / "bench_python.py"
    command = [one.path, "-P", script, out, "--repetitions", str(pace.repetitions)]
    run([*command, "--min-time", str(pace.seconds)], log, f"python on {one.name}")
    times: dict[Case, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in json.loads(out.read_text()):
        case = Case("python", entry["row"], entry["threads"], one.tag)
        times[case][entry["impl"]] += entry["times"]
    return medians(times, pace.repetitions)


def medians(times: dict[Case, dict[str, list[float]]], repetitions: int) -> Medians:
    for case, impls in times.items():
        for impl, values in impls.items():
            if len(values) != repetitions:
                raise ToolError(f"{case.area}: {case.text}, {impl}: {len(values)} repetitions")
    return {
        case: {impl: statistics.median(values) for impl, values in impls.items()}
        for case, impls in times.items()
    }


class Goals:
    def __init__(self, file: Path) -> None:
        read = tomllib.loads(file.read_text())
        self.default: float = read["default"]
        self.entries: list[dict[str, object]] = read["goal"]

    def of(self, case: Case, peer: str, kind: str) -> float | None:
        facts = {"area": case.area, "row": case.row, "peer": peer, "kind": kind}
        for entry in self.entries:
            if all(fnmatch.fnmatchcase(facts[k], str(entry.get(k, "*"))) for k in facts):
                return float(str(entry["at_most"])) if "at_most" in entry else None
        return self.default


def compare(found: Medians, kinds: dict[str, str], goals: Goals) -> Iterator[Row]:
    for case, impls in found.items():
        if case.area in PEERS_ONLY:
            continue
        if OURS not in impls or len(impls) < 2:
            raise ToolError(f"{case.area}: {case.text}: only {', '.join(impls)}")
        ours = impls[OURS]
        for peer, time in sorted(impls.items(), key=lambda item: item[1]):
            if peer != OURS:
                goal = goals.of(case, peer, kinds[case.python])
                ratio = ours / time
                met = None if goal is None else ratio <= goal
                times = round(ours, 3), round(time, 3)
                yield Row(
                    case.area, case.text, times[0], peer, times[1], round(ratio, 3), goal, met
                )


def show(console: Console, rows: list[Row]) -> None:
    for area in dict.fromkeys(row.area for row in rows):
        table = Table(title=f"{area}: ns an operation, ours / peer", title_justify="left")
        table.add_column("row and peers")
        for name in ("ns", "ratio", "goal"):
            table.add_column(name, justify="right")
        table.add_column("")
        mine = [row for row in rows if row.area == area]
        for case in dict.fromkeys(row.row for row in mine):
            peers = [row for row in mine if row.row == case]
            table.add_section()
            table.add_row(f"[bold]{escape(case)}[/bold]", f"{peers[0].ours_ns:.2f}")
            for row in peers:
                table.add_row(
                    f"  {row.peer}",
                    f"{row.peer_ns:.2f}",
                    f"{row.ratio:.2f}",
                    "" if row.goal is None else f"{row.goal:.2f}",
                    {None: "", True: "[green]met[/green]", False: "[red]missed[/red]"}[row.met],
                )
        console.print(table)
    aimed = [row for row in rows if row.met is not None]
    console.print(
        f"{sum(bool(row.met) for row in aimed)} of {len(aimed)} goals met, {len(rows)} pairs"
    )


def show_peers(console: Console, found: Medians) -> None:
    alone = {case: impls for case, impls in found.items() if case.area in PEERS_ONLY}
    if not alone:
        return
    table = Table(title="peers alone: ns an operation", title_justify="left")
    table.add_column("row and peers")
    table.add_column("ns", justify="right")
    for case, impls in alone.items():
        table.add_section()
        table.add_row(f"[bold]{escape(f'{case.area}: {case.text}')}[/bold]")
        for peer, time in sorted(impls.items(), key=lambda item: item[1]):
            table.add_row(f"  {peer}", f"{time:.2f}")
    console.print(table)


def vary(
    arguments: argparse.Namespace, console: Console, interpreters: list[Python], pace: Pace
) -> int:
    """Our own rows, with a constant of the library set to each of some values."""
    name, _, listed = arguments.vary.partition("=")
    values = [value for value in listed.split(",") if value]
    areas = [
        area for area in arguments.area or C_AREAS if area in C_AREAS and area not in PEERS_ONLY
    ]
    sources = [
        file.read_text() for top in ("include", "src") for file in (ROOT / top).rglob("*.[ch]")
    ]
    if not any(re.search(rf"^#ifndef {re.escape(name)}$", text, re.MULTILINE) for text in sources):
        raise ToolError(f"--vary: nothing in include/ or src/ lets {name} be set from outside")
    if len(values) < 2 or not areas:
        raise ToolError("--vary wants NAME=VALUE,VALUE and rows in C")

    times: dict[Case, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("build")
        modules = {value: build(interpreters, f"{name}={value}") for value in values}
        # One round after the other: what disturbs the machine for a while disturbs all values.
        for count in range(pace.repetitions):
            for value, one, area in itertools.product(values, interpreters, areas):
                progress.update(
                    task, description=f"round {count + 1}: {name}={value}, {area} on {one.name}"
                )
                once = Pace(1, pace.seconds)
                for case, impls in measure_c(area, one, modules[value], once, OURS).items():
                    times[case][value].append(impls[OURS])
    if not times:
        raise ToolError("no row ran")
    table = Table(title=f"ns an operation by {name}", title_justify="left")
    table.add_column("row")
    for value in values:
        table.add_column(value, justify="right")
    for case, by_value in medians(times, pace.repetitions).items():
        row = escape(f"{case.area}: {case.text}")
        table.add_row(row, *[f"{by_value[value]:.2f}" for value in values])
    console.print(table)
    return 0


def measure(arguments: argparse.Namespace, console: Console) -> int:
    areas = arguments.area or list(AREAS)
    paths = arguments.python or environments()
    for path in paths:
        if not path.exists():
            raise ToolError(f"{path} is not there; run tools/setup --for bench, or say --python")
    interpreters = [describe(path) for path in paths]
    if len({one.tag for one in interpreters}) != len(interpreters):
        raise ToolError("two of the interpreters are of one version and kind")
    FOLDER.mkdir(parents=True, exist_ok=True)
    pace = Pace(3, 0.02) if arguments.quick else Pace(11, 0.1)
    if arguments.vary:
        return vary(arguments, console, interpreters, pace)
    if "python" in areas:
        for one in interpreters:
            command = [one.path, "-P", "-c", "import latchwork"]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                raise ToolError(f"{one.path} has no package latchwork; run pip install . there")
    goals = Goals(ROOT / "bench" / "goals.toml")

    found: Medians = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("build")
        modules = build(interpreters) if set(areas) & set(C_AREAS) else FOLDER
        for one in interpreters:
            for area in areas:
                progress.update(task, description=f"{area} on {one.name}")
                if area == "python":
                    new = measure_python(one, pace)
                else:
                    new = measure_c(area, one, modules, pace)
                if not new:
                    raise ToolError(f"{area} on {one.name}: no row ran")
                found |= new

    rows = list(compare(found, {one.tag: one.kind for one in interpreters}, goals))
    rows.sort(key=lambda row: AREAS.index(row.area))
    summary = FOLDER / "summary.json"
    summary.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    names = ", ".join(one.name for one in interpreters)
    console.print(f"{names}; medians of {pace.repetitions} interleaved repetitions of one run")
    if rows:
        show(console, rows)
    show_peers(console, found)
    console.print(f"{summary.relative_to(ROOT)}: {len(rows)} rows")
    return 0


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
        "--vary",
        metavar="NAME=VALUE,VALUE",
        help="instead: our own rows with a constant of the library set to each value, such as "
        "LW_MUTEX_SPINS=0,40,400; this is how the constants were chosen",
    )
    arguments = parser.parse_args()
    return report_errors(lambda: measure(arguments, Console()))


if __name__ == "__main__":
    sys.exit(main())
