"""What the demo shows: the table, the JSON file, the picture, and two sentences on them."""

from __future__ import annotations

import io
import platform
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ._demo_corpus import Corpus, printable, skip_lines

# A thread that got less of a core than this while it was alone shared it with another process; a
# run that was shorter than this says nothing on that.
BUSY_SHARE = 0.85
SHORT_SECONDS = 0.05

# What the table takes with its columns at their least widths.
LEAST_WIDTH = 80

# The colours of Okabe and Ito, which colour-blind people tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")


def interpreter_kind() -> str:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "GIL"
    enabled = sys._is_gil_enabled()  # type: ignore[attr-defined, unused-ignore]
    return "free-threaded, GIL switched on" if enabled else "free-threaded"


def interpreter_name() -> str:
    return f"{platform.python_implementation()} {platform.python_version()} {interpreter_kind()}"


def top(counts: Mapping[bytes, int], n: int = 5) -> list[tuple[str, int]]:
    """The n most frequent words; words of equal frequency in the order of their bytes."""
    first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]
    return [(printable(word), count) for word, count in first]


def differences(expected: Counter[bytes], got: Mapping[bytes, int], show: int = 5) -> str:
    """Empty if the two are equal; else how many words differ, and the first of them."""
    wrong = sorted(
        word for word in expected.keys() | got.keys() if expected.get(word) != got.get(word)
    )
    if not wrong:
        return ""
    first = "; ".join(
        f"{printable(word)} is {got.get(word, 'missing')}, should be {expected.get(word, 'absent')}"
        for word in wrong[:show]
    )
    return f"{len(wrong)} of {len(expected)} identifiers differ: {first}"


def summary(corpus: Corpus, expected: Counter[bytes]) -> dict[str, Any]:
    """What is known before the engines run: the head of the JSON file."""
    return {
        "interpreter": {
            "name": interpreter_name(),
            "version": platform.python_version(),
            "kind": interpreter_kind(),
        },
        "path": printable(corpus.path),
        "files": len(corpus.texts),
        "bytes": corpus.size,
        "identifiers": expected.total(),
        "distinct": len(expected),
        "skipped": corpus.skipped,
        "rows": [],
        "missing": [],
    }


def heading(result: Mapping[str, Any]) -> str:
    files = f"{result['files']:,} file{'' if result['files'] == 1 else 's'}"
    return (
        f"{result['path']}: {files}, {result['bytes'] / 2**20:.1f} MiB, "
        f"{result['identifiers']:,} identifiers, {result['distinct']:,} of them different"
    )


def text_table(result: Mapping[str, Any]) -> Any:
    """A rich table: one row for each engine and number of threads."""
    from rich.table import Table
    from rich.text import Text

    table = Table(collapse_padding=True)
    table.add_column("interpreter", min_width=13, overflow="fold")
    table.add_column("engine", min_width=14, overflow="fold")
    table.add_column("threads", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("speed-up", justify="right", no_wrap=True)
    table.add_column("top five identifiers", min_width=12, overflow="fold")
    name = Text(result["interpreter"]["name"])
    engine = None
    for row in result["rows"]:
        if engine not in (None, row["engine"]):
            table.add_section()
        engine = row["engine"]
        words = " ".join(f"{word}\N{NO-BREAK SPACE}{count}" for word, count in row["top"])
        table.add_row(
            name,
            Text(engine),
            str(row["threads"]),
            f"{row['seconds']:.3f}",
            f"{row['speedup']:.2f}" if row["correct"] else "WRONG",
            Text(words or "(none)"),
        )
    for missing in result["missing"]:
        table.add_section()
        table.add_row(name, Text(missing["engine"]), "-", "-", "-", "left out, see below")
    return table


def footer(corpus: Corpus, result: Mapping[str, Any]) -> list[str]:
    skipped = [f"  {line}" for line in skip_lines(corpus)]
    missing = [f"{one['engine']} was left out: {one['why']}" for one in result["missing"]]
    return ["Skipped:" if skipped else "Skipped: nothing.", *skipped, *missing, *busy([result])]


def busy(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A warning if a thread that ran alone, and never waits, did not have a core to itself."""
    alone = [row for result in results for row in result["rows"] if row["threads"] == 1]
    long = [row for row in alone if row["seconds"] > SHORT_SECONDS]
    share = min((row["cpu_seconds"] / row["seconds"] for row in long), default=1)
    if share >= BUSY_SHARE:
        return []
    return [
        f"This machine was busy with something else: a single thread got {share:.0%} of a core. "
        "The counts are right all the same; the seconds and speed-ups say little."
    ]


def picture(result: Mapping[str, Any]) -> bytes:
    """An SVG: speed-up over one thread, a group of bars for each number of threads."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = result["rows"]
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    threads = sorted({row["threads"] for row in rows})
    width = 0.8 / max(len(engines), 1)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "latchwork"}):
        figure = Figure(figsize=(max(6.4, 1.6 + 1.4 * len(threads)), 4.6), layout="constrained")
        axes = figure.add_subplot()
        for i, engine in enumerate(engines):
            of_engine = {row["threads"]: row["speedup"] for row in rows if row["engine"] == engine}
            places = [k + (i - (len(engines) - 1) / 2) * width for k in range(len(threads))]
            heights = [of_engine[n] for n in threads]
            bars = axes.bar(
                places, heights, width * 0.92, label=engine, color=COLOURS[i % len(COLOURS)]
            )
            axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
        for k, n in enumerate(threads):
            label = "as many times as threads" if k == 0 else "_"  # no second entry
            axes.hlines(n, k - 0.45, k + 0.45, colors="0.5", linestyles="dashed", label=label)
        axes.set_xticks(range(len(threads)), [str(n) for n in threads])
        axes.set_xlabel("threads")
        axes.set_ylabel("speed-up over one thread of the same engine")
        axes.set_ylim(0, 1.15 * max([*threads, *(row["speedup"] for row in rows)]))
        axes.set_title(f"Indexing {result['files']:,} files, {result['interpreter']['name']}")
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def is_result(value: Any) -> bool:
    """Whether a JSON value has what `explain` reads, in the types that --json writes."""
    match value:
        case {"interpreter": {"kind": str(), "version": str()}, "rows": [_, *_] as rows}:
            return all(map(_is_row, rows))
    return False


def _is_row(value: Any) -> bool:
    match value:
        case {
            "engine": str(),
            "threads": int(),
            "seconds": int() | float() as seconds,
            "cpu_seconds": int() | float() as cpu_seconds,
            "speedup": int() | float() as speedup,
        }:
            # Nor are Infinity, NaN and integers beyond all floats, which JSON has in Python.
            return all(0 <= number < 1e9 for number in (seconds, cpu_seconds, speedup))
    return False


def explain(results: Sequence[Mapping[str, Any]]) -> str:
    """Two sentences on the results of a GIL and of a free-threaded interpreter."""

    def speedups(result: Mapping[str, Any]) -> tuple[int, str, str]:
        rows = result["rows"]
        most = max(row["threads"] for row in rows)
        last = {row["engine"]: row["speedup"] for row in rows if row["threads"] == most}
        own = [f"{value:.2f}" for name, value in last.items() if not name.startswith("C ext")]
        native = [f"{value:.2f}" for name, value in last.items() if name.startswith("C ext")]
        return most, " and ".join(own), native[0] if native else "(not installed)"

    by_kind = {result["interpreter"]["kind"]: result for result in results}
    if "GIL" not in by_kind or "free-threaded" not in by_kind:
        raise ValueError("needs the result of one GIL and one free-threaded interpreter")
    gil, free = by_kind["GIL"], by_kind["free-threaded"]
    n, gil_python, gil_native = speedups(gil)
    m, free_python, free_native = speedups(free)
    sentences = [
        f"With the GIL ({gil['interpreter']['version']}), {n} threads run the engines in Python "
        f"{gil_python} times as fast as one thread, since only one at a time runs Python code, and "
        f"the C extension, which is detached from Python while it scans, {gil_native} times. "
        f"Free-threaded ({free['interpreter']['version']}), {m} threads run the same engines "
        f"{free_python} times, and the C extension {free_native} times, as fast as one; every "
        "count is the one that a single thread gives.",
        *busy(results),
    ]
    return "\n".join(sentences)
