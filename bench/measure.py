"""Builds the rows, runs them inside interpreters, and takes medians of what they report."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tooling import BUILD, ROOT, ToolError, cores, reason, run_logged

C_AREAS = (
    "locks",
    "biased",
    "rwlocks",
    "shared_rwlocks",
    "sections",
    "refs",
    "smr",
    "map",
    "thread",
    "queues",
)
AREAS = (*C_AREAS[:-1], "python", "queues")
FOLDER = BUILD / "bench"
LIMIT_S = 1800.0
# What users' extensions are built with, for ours as for the peers.
RELEASE = "-O2 -DNDEBUG"

# What Google Benchmark itself reports of a run, besides the counters of the rows.
RUN_FIELDS = {
    "cpu_time",
    "family_index",
    "iterations",
    "per_family_instance_index",
    "real_time",
    "repetition_index",
    "repetitions",
    "threads",
}


@dataclass(frozen=True)
class Pace:
    repetitions: int
    seconds: float  # that a row takes, each time


@dataclass(frozen=True)
class Python:
    path: Path
    tag: str
    kind: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.version} {self.kind}"


@dataclass(frozen=True)
class Case:
    area: str
    row: str
    threads: int
    python: Python

    @property
    def text(self) -> str:
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.row}{threads} [{self.python.tag}]"


@dataclass
class Result:
    """Medians of one implementation in one row."""

    ns: float
    counters: dict[str, float] = field(default_factory=dict)


Results = dict[Case, dict[str, Result]]


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


def require_package(one: Python) -> None:
    command = [one.path, "-P", "-c", "import latchwork"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        raise ToolError(f"{one.path} has no package latchwork; run pip install . there")


def _run(command: Sequence[str | Path], log: Path, what: str) -> None:
    status = run_logged(command, log, cwd=ROOT, env=os.environ, limit_s=LIMIT_S)
    if status != 0:
        why = reason(log) if status is not None else f"ran past {LIMIT_S:.0f} s"
        raise ToolError(f"{what}: {why} (log: {log})")


def build(interpreters: list[Python], define: str = "") -> Path:
    """The folder of the modules, compiled with a definition NAME=VALUE if one is given."""
    folder = FOLDER / f"cmake{f'-{define}' if define else ''}"
    log = folder.parent / f"{folder.name}.log"
    log.unlink(missing_ok=True)
    configure: list[str | Path] = [
        "cmake", "-S", ROOT, "-B", folder, "-G", "Ninja",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DCMAKE_C_FLAGS={f'-D{define}' if define else ''}",
        f"-DCMAKE_C_FLAGS_RELEASE={RELEASE}",
        f"-DCMAKE_CXX_FLAGS_RELEASE={RELEASE}",
        "-DLATCHWORK_TESTS=OFF",
        "-DLATCHWORK_BENCH=ON",
        f"-DLATCHWORK_BENCH_PYTHONS={';'.join(str(one.path) for one in interpreters)}",
    ]  # fmt: skip
    _run(configure, log, "cannot configure the benchmarks")
    target = ["cmake", "--build", folder, "--target", "latchwork_bench"]
    _run([*target, "--parallel", str(cores())], log, "cannot build the benchmarks")
    return folder / "bench"


def _output(area: str, one: Python) -> tuple[Path, Path]:
    """Where a run writes its report and its log, both fresh."""
    out = FOLDER / f"{area}-{one.tag}.json"
    log = out.with_suffix(".log")
    out.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    return out, log


def run_c(area: str, one: Python, modules: Path, pace: Pace, impl: str = "") -> Results:
    """The rows of an area, of one implementation or of all."""
    out, log = _output(area, one)
    options = [
        f"--benchmark_filter=^{area}/{f'.*/{impl}/' if impl else ''}",
        f"--benchmark_repetitions={pace.repetitions}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_min_time={pace.seconds}",
        f"--benchmark_out={out}",
        "--benchmark_out_format=json",
    ]
    inside = ROOT / "bench" / "inside.py"
    _run([one.path, inside, modules / one.tag, *options], log, f"{area} on {one.name}")
    found: dict[Case, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    entries = json.loads(out.read_text())["benchmarks"]
    # Interleaving has shuffled them; a family's number is the place of its registration.
    for entry in sorted(entries, key=lambda entry: entry["family_index"]):
        if entry["run_type"] == "iteration":
            name, row, by = entry["name"].split("/")[:3]
            found[Case(name, row, entry["threads"], one)][by].append(entry)
    results: Results = {}
    for case, impls in found.items():
        results[case] = {}
        for by, runs in impls.items():
            numbers = [key for key, value in runs[0].items() if isinstance(value, int | float)]
            # One thread's processor time is not disturbed by what else runs; several threads
            # work side by side, so that theirs is the time of day.
            clock = "cpu_time" if case.threads == 1 else "real_time"
            clock = "window_ns" if "window_ns" in numbers else clock
            medians = {
                key: _median([run[key] for run in runs], pace, case, by)
                for key in (clock, *(key for key in numbers if key not in RUN_FIELDS))
            }
            results[case][by] = Result(medians.pop(clock), medians)
    return results


def run_python(one: Python, pace: Pace) -> Results:
    """The rows of the binding, in an environment that has the package."""
    out, log = _output("python", one)
    script = ROOT / "bench" / "bench_python.py"
    options = ["--repetitions", str(pace.repetitions), "--min-time", str(pace.seconds)]
    _run([one.path, "-P", script, out, *options], log, f"python on {one.name}")
    results: Results = defaultdict(dict)
    for entry in json.loads(out.read_text()):
        case = Case("python", entry["row"], entry["threads"], one)
        ns = _median(entry["times"], pace, case, entry["impl"])
        results[case][entry["impl"]] = Result(ns)
    return results


def _median(values: list[float], pace: Pace, case: Case, impl: str) -> float:
    if len(values) != pace.repetitions:
        raise ToolError(f"{case.area}: {case.text}, {impl}: {len(values)} repetitions")
    return statistics.median(values)
