"""Runs the C rows inside the interpreter that is to load them; run.py and CTest start it.

    python inside.py FOLDER [--check] [--benchmark_...]

FOLDER has the module. The options are Google Benchmark's. --check runs every row for a moment and
looks only at whether all of them ran and both sides of each comparison are there.
"""

from __future__ import annotations

import collections
import json
import sys
import tempfile
from pathlib import Path

OURS = "latchwork"
# Rows of these areas are there to choose from; ours come with the modules that will need them.
PEERS_ONLY = {"queues"}


def check(run: object) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        ran = run(  # type: ignore[operator]
            ["--benchmark_min_time=0", f"--benchmark_out={out}", "--benchmark_out_format=json"]
        )
        benchmarks = json.loads(out.read_text())["benchmarks"]
    problems = [
        f"{one['name']}: {one['error_message']}" for one in benchmarks if "error_message" in one
    ]
    impls = collections.defaultdict(set)
    for one in benchmarks:
        area, row, impl = one["name"].split("/")[:3]
        impls[area, row, one["threads"]].add(impl)
        if one["iterations"] <= 0:
            problems.append(f"{one['name']}: did nothing")
    for (area, row, threads), there in impls.items():
        if area not in PEERS_ONLY and (OURS not in there or len(there) < 2):
            problems.append(f"{area}/{row}, {threads} threads: only {', '.join(sorted(there))}")
    if ran != len(benchmarks):
        problems.append(f"{ran} rows ran, {len(benchmarks)} reported")
    if not ran:
        problems.append("no row ran")
    for problem in problems:
        print(f"FAIL {problem}")
    print(f"{ran} rows ran, {len(problems)} problems")
    return 1 if problems else 0


def main() -> int:
    folder, *options = sys.argv[1:]
    sys.path.insert(0, folder)
    import latchwork_bench

    if options == ["--check"]:
        return check(latchwork_bench.run)
    return 0 if latchwork_bench.run(options) else 1


if __name__ == "__main__":
    sys.exit(main())
