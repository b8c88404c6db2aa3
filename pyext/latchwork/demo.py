"""python -m latchwork demo: index each identifier of a tree of source files, three ways, and check.

Exit status: 0 all counts right; 1 a count is wrong, or a result could not be written; 2 what was
asked for cannot be done; 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import io
import json
import os
import signal
import stat
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

from latchwork import AtomicInt

from . import _demo_report as report
from ._command import OutputError, Parser, complain, standard_output
from ._demo_corpus import (
    IDENTIFIER,
    LEFT_OUT_OF_STDLIB,
    Corpus,
    InputError,
    printable,
    read_corpus,
    reason_of,
)
from ._demo_engines import Engine, EngineKind, engine_kinds

MAX_THREADS = 256
# A worker claims this much text at a time: some milliseconds of the fastest engine, so that the
# claims cost nothing, the last worker is not far behind, and Ctrl-C is answered at once.
CHUNK_BYTES = 1 << 18
# A run is repeated, and the best kept, while that is cheap.
REPEATS = 3
ENOUGH_SECONDS = 1.5

OnProgress = Callable[[int], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments; the exit status."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        arguments = _arguments(argv)
        return _explain(arguments.explain) if arguments.explain else _demo(arguments)
    except InputError as error:
        return _complain(str(error), 2)
    except OutputError as error:
        return _complain(str(error), 1)
    except MemoryError:
        return _complain("out of memory; name a smaller tree or fewer threads", 2)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return _complain("interrupted, no result", 130)
    except BrokenPipeError:
        return 1  # Whoever read the output has gone; nor is there anybody to tell.


def _complain(text: str, status: int) -> int:
    complain(f"latchwork demo: {text}")
    return status


def _thread_count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not 1 <= count <= MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{count} is not between 1 and {MAX_THREADS}")
    return count


def _mebibytes(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is less than 1")
    return count


def _svg_name(text: str) -> str:
    if os.path.splitext(text)[1].lower() not in ("", ".svg"):
        raise argparse.ArgumentTypeError(f"the picture is an SVG, which {text!r} does not say")
    return text


def _default_threads() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(2, min(usable or 2, 8))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m latchwork demo",
        description="Count every identifier in a tree of source files with three engines: a dict "
        "and a lock, a ConcurrentDict, and a C extension. Each must give what collections.Counter "
        "gives in one thread, with one thread and with many.",
        epilog="An identifier is a run of letters, digits and underscores that does not begin with "
        "a digit, comments and strings included; every character beyond ASCII is a letter. Skipped "
        "and listed: files with a NUL byte (binary), with bad UTF-8, or unreadable; symbolic "
        "links; what this run writes. Exit status: 0 all counts right, 1 a wrong count or a result "
        "that could not be written, 2 bad input, 130 interrupted.",
    )
    parser.add_argument(
        "path",
        nargs="?",
        metavar="PATH",
        help="a file or a tree of files; default: this interpreter's standard library",
    )
    parser.add_argument(
        "--threads",
        type=_thread_count,
        default=_default_threads(),
        metavar="N",
        help=f"measure 1, 2, 4, ... N threads; at most {MAX_THREADS} (default here: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this file")
    parser.add_argument(
        "--plot", type=_svg_name, metavar="FILE.svg", help="draw the speed-ups into this file"
    )
    parser.add_argument(
        "--limit",
        type=_mebibytes,
        default=1024,
        metavar="MIB",
        help="the most text to take into memory (default: %(default)s MiB)",
    )
    parser.add_argument(
        "--explain",
        nargs=2,
        metavar="RESULT.json",
        help="measure nothing: say in two sentences what the --json files of a GIL and a "
        "free-threaded interpreter mean",
    )
    arguments = parser.parse_args(argv)
    for option in ("path", "json", "plot"):
        if arguments.explain and getattr(arguments, option) is not None:
            parser.error("--explain measures nothing: it goes with no PATH, --json or --plot")
    return arguments


def _demo(arguments: argparse.Namespace) -> int:
    _require("rich")
    if arguments.plot is not None:
        _require("matplotlib")
    with _output(arguments.json) as json_file, _output(arguments.plot) as plot_file:
        if json_file and plot_file and _is_same_regular_file(json_file, plot_file):
            raise InputError("--json and --plot name the same file")
        corpus, result, wrong = _measure(arguments, _own_files(json_file, plot_file))
        # From the last to the first, and each whatever becomes of the others.
        with ExitStack() as results:
            results.callback(_complain_of, wrong)
            if plot_file:
                results.callback(lambda: _write(plot_file, report.picture(result), arguments.plot))
            if json_file:
                text = json.dumps(result, indent=2) + "\n"
                results.callback(_write, json_file, text.encode(), arguments.json)
            with standard_output():
                _show(corpus, result)
    return 1 if wrong else 0


def _complain_of(wrong: Sequence[str]) -> None:
    for line in wrong:
        _complain(f"WRONG COUNT: {line}", 1)


def _require(package: str) -> None:
    # Looked for and not imported: an import of compiled modules could switch the GIL on.
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{package} is not installed; pip install 'latchwork[demo]' brings it")


@contextmanager
def _output(name: str | None) -> Iterator[io.FileIO | None]:
    """A file that is open for writing before the work begins, and as it was if the work fails."""
    if name is None:
        yield None
        return
    is_new = not os.path.lexists(name)
    try:
        file = io.FileIO(name, "ab")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {printable(name)}: {reason_of(error)}") from None
    try:
        yield file
    finally:
        with file:
            unused = is_new and _is_regular(file) and not os.fstat(file.fileno()).st_size
        if unused:
            with suppress(OSError):  # whoever else took it away
                os.unlink(name)


def _own_files(*files: io.FileIO | None) -> frozenset[tuple[int, int]]:
    """Device and inode of what this run writes, to which standard output may belong."""
    own = set()
    for descriptor in (1, 2, *(file.fileno() for file in files if file)):
        with suppress(OSError):  # a closed one
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                own.add((status.st_dev, status.st_ino))
    return frozenset(own)


def _is_same_regular_file(one: io.FileIO, other: io.FileIO) -> bool:
    return _is_regular(one) and os.path.samestat(os.fstat(one.fileno()), os.fstat(other.fileno()))


def _is_regular(file: io.FileIO) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _write(file: io.FileIO, data: bytes, name: str) -> None:
    rest = memoryview(data)
    try:
        if _is_regular(file):
            file.truncate(0)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        if _is_regular(file):
            file.truncate(0)  # rather than a part of it
        raise OutputError(f"cannot write {printable(name)}: {reason_of(error)}") from None


def _measure(
    arguments: argparse.Namespace, own: frozenset[tuple[int, int]]
) -> tuple[Corpus, dict[str, Any], list[str]]:
    with _progress() as step:
        path, leave_out = arguments.path, frozenset[str]()
        if path is None:
            path, leave_out = sysconfig.get_path("stdlib"), LEFT_OUT_OF_STDLIB
        with step("reading", None) as advance:
            corpus = read_corpus(
                path,
                limit=arguments.limit << 20,
                leave_out=leave_out,
                own=own,
                on_file=lambda so_far: advance(len(so_far.texts)),
            )
        with step("collections.Counter, the reference", len(corpus.texts)) as advance:
            expected = _reference(corpus.texts, advance)
        result = report.summary(corpus, expected)
        wrong: list[str] = []
        chunks = _chunks(corpus.texts)
        for kind in engine_kinds():
            if kind.make is None:
                result["missing"].append({"engine": kind.name, "why": kind.missing})
                continue
            wrong += _measure_engine(
                kind, kind.make, chunks, arguments.threads, expected, result["rows"], step
            )
        # An import of an engine may have changed it.
        result["interpreter"]["kind"] = report.interpreter_kind()
        result["interpreter"]["name"] = report.interpreter_name()
    return corpus, result, wrong


def _reference(texts: Sequence[bytes], advance: OnProgress) -> Counter[bytes]:
    expected: Counter[bytes] = Counter()
    for done, text in enumerate(texts, 1):
        expected.update(IDENTIFIER.findall(text))
        advance(done)
    del expected[b""]  # what numbers leave
    return expected


def _chunks(texts: Sequence[bytes]) -> list[list[bytes]]:
    chunks: list[list[bytes]] = []
    room = 0
    for text in texts:
        if room <= 0:
            chunks.append([])
            room = CHUNK_BYTES
        chunks[-1].append(text)
        room -= len(text)
    return chunks


def _thread_counts(most: int) -> list[int]:
    return [*(1 << k for k in range(most.bit_length()) if 1 << k < most), most]


def _measure_engine(
    kind: EngineKind,
    make: Callable[[], Engine],
    chunks: Sequence[Sequence[bytes]],
    most: int,
    expected: Counter[bytes],
    rows: list[dict[str, Any]],
    step: Callable[[str, int | None], AbstractContextManager[OnProgress]],
) -> list[str]:
    """Run one engine with one thread and with more; add its rows, return what was wrong."""
    wrong = []
    alone = 0.0
    for threads in _thread_counts(most):
        name = f"{kind.name}, {threads} thread{'s' if threads > 1 else ''}"
        runs: list[tuple[float, float]] = []
        problem = ""
        while (
            len(runs) < REPEATS
            and sum(seconds for seconds, _ in runs) < ENOUGH_SECONDS
            and not problem
        ):
            engine = make()
            gc.collect()
            with step(name, len(chunks)) as advance:
                runs.append(_run(engine, chunks, threads, advance))
            counts = engine.counts()
            problem = report.differences(expected, counts)
        best, cpu = min(runs)
        alone = alone or best
        rows.append(
            {
                "engine": kind.name,
                "threads": threads,
                "seconds": best,
                "cpu_seconds": cpu,
                "runs": [seconds for seconds, _ in runs],
                "speedup": alone / best,
                "top": report.top(counts),
                "correct": not problem,
            }
        )
        if problem:
            wrong.append(f"{name}: {problem}")
    return wrong


def _run(
    engine: Engine, chunks: Sequence[Sequence[bytes]], threads: int, advance: OnProgress
) -> tuple[float, float]:
    """Seconds that `threads` threads take to feed all chunks to the engine, and of all cores."""
    claimed = AtomicInt()
    stop = threading.Event()
    start = threading.Barrier(threads + 1)

    def work() -> None:
        start.wait()
        while not stop.is_set() and (claim := claimed.add(1)) < len(chunks):
            engine.add(chunks[claim])

    with ThreadPoolExecutor(threads) as pool:
        try:
            try:
                futures = [pool.submit(work) for _ in range(threads)]
            except RuntimeError as error:
                raise InputError(f"cannot run {threads} threads here: {error}") from None
            start.wait()
            begin, begin_cpu = time.perf_counter(), time.process_time()
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                advance(min(claimed.load(), len(chunks)))
            return time.perf_counter() - begin, time.process_time() - begin_cpu
        finally:
            # After Ctrl-C or a failure: each worker ends after the chunk that it has in hand.
            stop.set()
            start.abort()


@contextmanager
def _progress() -> Iterator[Callable[[str, int | None], AbstractContextManager[OnProgress]]]:
    """Bars on the terminal, one for each step, gone when all is done. Nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        refresh_per_second=5,
    )

    @contextmanager
    def step(name: str, total: int | None) -> Iterator[OnProgress]:
        task = bars.add_task(name, total=total)

        def advance(done: int) -> None:
            bars.update(task, completed=done)

        try:
            yield advance
        finally:
            bars.remove_task(task)

    with bars:
        yield step


def _show(corpus: Corpus, result: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 120
    console.width = max(console.width, report.LEAST_WIDTH)
    console.print(report.heading(result), markup=False, soft_wrap=True)
    console.print(report.text_table(result))
    for line in report.footer(corpus, result):
        console.print(line, markup=False, soft_wrap=True)
    checked = sum(len(row["runs"]) for row in result["rows"] if row["correct"])
    console.print(
        f"{checked} runs gave the counts of collections.Counter; seconds are the best of up to "
        f"{REPEATS} runs.",
        markup=False,
        soft_wrap=True,
    )


def _explain(names: Sequence[str]) -> int:
    results = []
    for name in names:
        try:
            with open(name, encoding="utf-8") as file:
                result = json.load(file)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"cannot read {printable(name)}: {reason_of(error)}") from None
        if not report.is_result(result):
            raise InputError(f"{printable(name)} is not what --json writes")
        results.append(result)
    try:
        text = report.explain(results)
    except ValueError as error:
        raise InputError(f"{' and '.join(map(printable, names))}: {error}") from None
    with standard_output():
        print(text)
    return 0
