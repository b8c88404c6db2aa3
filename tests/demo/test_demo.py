"""python -m latchwork demo: right counts, and a clear answer to every bad input."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from latchwork import _demo_report as report
from latchwork import demo
from latchwork._demo_corpus import IDENTIFIER
from latchwork._demo_engines import EngineKind, LockedDict

DEMO = [sys.executable, "-m", "latchwork", "demo"]


def run(
    *arguments: str | os.PathLike[str],
    prefix: Sequence[str] = (),
    command: Sequence[str] = DEMO,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*prefix, *command, *map(os.fspath, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(env or {})},
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def refused(*arguments: str | os.PathLike[str], saying: str) -> None:
    """The demo ends with status 2 and one line, or argparse's usage and one line."""
    done = run(*arguments)
    assert done.returncode == 2
    assert saying in done.stderr.splitlines()[-1]
    assert done.stderr.startswith("usage:") or len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "below" / "deeper").mkdir(parents=True)
    (top / "one.py").write_text("def spam(eggs): return eggs + 0x1f + 1e5 # naïve spam\n")
    (top / "below" / "two.c").write_text("int spam(void);\n" * 100)
    (top / "below" / "deeper" / "three").write_bytes(b"\xef\xbb\xbfspam no_newline_at_the_end")
    (top / "empty").touch()
    return top


EXPECTED = Counter(
    {"spam": 103, "int": 100, "void": 100, "def": 1, "eggs": 2, "return": 1}
    | {"naïve": 1, "no_newline_at_the_end": 1}
)


def test_every_engine_gives_the_counts(tree: Path, tmp_path: Path) -> None:
    done = run(tree, "--threads", "3", "--json", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["files"] == 4
    assert result["identifiers"] == EXPECTED.total()
    assert result["distinct"] == len(EXPECTED)
    assert result["skipped"] == {}
    assert result["missing"] == []
    rows = result["rows"]
    assert [row["threads"] for row in rows] == [1, 2, 3] * 3
    assert len({row["engine"] for row in rows}) == 3
    for row in rows:
        assert row["correct"]
        assert row["top"] == [["spam", 103], ["int", 100], ["void", 100], ["eggs", 2], ["def", 1]]
        assert row["seconds"] == min(row["runs"]) > 0
        assert row["engine"] in done.stdout
    kind = {"GIL": "GIL", "free-threaded": "free-threaded"}[result["interpreter"]["kind"]]
    assert kind in done.stdout
    assert "Skipped: nothing." in done.stdout


def test_a_single_file(tree: Path) -> None:
    done = run(tree / "one.py", "--threads", "2")
    assert done.returncode == 0
    assert "one.py: 1 file, 0.0 MiB, 7 identifiers" in done.stdout


def test_files_without_identifiers(tmp_path: Path) -> None:
    (tmp_path / "numbers").write_text("1 2 3 0x1f")
    done = run(tmp_path, "--threads", "2")
    assert done.returncode == 0
    assert "(none)" in done.stdout


def without_root() -> list[str]:
    """Root reads files whatever their mode is; the demo runs without that privilege."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_what_cannot_be_indexed_is_skipped_and_listed(tree: Path, tmp_path: Path) -> None:
    (tree / "binary").write_bytes(b"spam\0spam")
    (tree / "late_binary").write_bytes(b"spam " * 10_000 + b"\0")
    (tree / "latin1").write_bytes("naïve spam".encode("latin-1"))
    (tree / "cut_off").write_bytes("spam ï".encode()[:-1])
    (tree / "loop").symlink_to(tree)
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "spam.txt").write_text("spam")
    (tree / "locked").write_text("spam")
    (tree / "locked").chmod(0)
    (tree / "closed").mkdir(mode=0)
    try:
        done = run(tree, "--threads=2", "--json", tmp_path / "result.json", prefix=without_root())
    finally:
        (tree / "closed").chmod(0o700)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["skipped"] == {
        "binary": ["binary", "late_binary"],
        "directory left out": ["__pycache__"],
        "neither file nor directory": ["pipe"],
        "not UTF-8": ["cut_off: byte 5", "latin1: byte 2"],
        "symbolic link, not followed": ["dangling", "loop"],
        "unreadable": ["locked: Permission denied", "closed: Permission denied"],
    }
    assert result["files"] == 4
    assert result["identifiers"] == EXPECTED.total()
    for line in ("2 binary (binary, late_binary)", "1 directory left out", "2 not UTF-8"):
        assert line in done.stdout


def test_odd_names_are_printed_safely(tree: Path) -> None:
    (tree / "new\nline\x1b[31m").write_bytes(b"\0")
    with open(os.fsencode(tree) + b"/bad\xff", "wb") as file:
        file.write(b"\0")
    done = run(tree, "--threads=1")
    assert done.returncode == 0
    assert r"bad\xff" in done.stdout
    assert r"new\nline\x1b[31m" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux's /proc")
def test_a_file_that_fails_while_it_is_read() -> None:
    refused("/proc/self/mem", saying="1 unreadable (/proc/self/mem: ")


def test_a_terminal_that_knows_ascii_only(tree: Path) -> None:
    (tree / "more").write_text("naïve " * 1000)
    done = run(tree, "--threads=1", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert r"na\xefve" in done.stdout


def test_what_a_run_writes_is_not_what_it_reads(tree: Path) -> None:
    result, table = tree / "below" / "out.json", tree / "table.txt"
    command = ["sh", "-c", 'exec "$@" >>"$0"', os.fspath(table), *DEMO]
    for _ in range(2):
        done = run(tree, "--threads=1", "--json", result, command=command)
        assert done.returncode == 0, done.stderr
        read = json.loads(result.read_text())
        assert read["skipped"] == {"written by this run": ["table.txt", "below/out.json"]}
        assert read["files"] == 4
        assert read["identifiers"] == EXPECTED.total()
    assert "2 written by this run (table.txt, below/out.json)" in table.read_text()
    refused(table, "--json", table, saying=f"1 written by this run ({table})")
    # What another run wrote is a file like any other.
    assert run(tree, "--threads=1", "--json", result).returncode == 0
    assert json.loads(result.read_text())["files"] == 5


@pytest.mark.parametrize("path", ["absent", "loop", "", "tree/one.py/below"])
def test_a_path_that_is_not_there(
    path: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    refused(path, saying=f"cannot read {path}: ")


def test_nothing_to_index(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    (empty / "below").mkdir(parents=True)
    refused(empty, saying="nothing to index")
    (empty / "binary").write_bytes(b"\0")
    refused(empty, saying="1 binary (binary)")
    refused(empty / "binary", saying="1 binary")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", saying="neither file nor directory")


@pytest.mark.parametrize("count", ["0", "-1", "257", "10000", "many", "1.5", "", "9" * 5000])
def test_thread_counts_that_make_no_sense(count: str, tree: Path) -> None:
    refused(tree, f"--threads={count}", saying="argument --threads: ")


def test_the_most_threads(tree: Path, tmp_path: Path) -> None:
    done = run(tree, "--threads=256", "--json", tmp_path / "result.json")
    if done.returncode == 2:  # where a limit of this machine forbids them
        assert "threads here" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["rows"][-1]["threads"] == 256


def test_more_text_than_allowed(tree: Path) -> None:
    (tree / "large").write_bytes(b"spam " * 300_000)
    refused(tree, "--limit=1", saying="holds more than 1 MiB of text")
    refused(tree, "--limit=0", saying="argument --limit: ")
    refused(tree, "--limit=x", saying="argument --limit: ")
    assert run(tree, f"--limit={10**15}", "--threads=1").returncode == 0


def test_the_limit_is_exact(tree: Path, tmp_path: Path) -> None:
    (tree / "large").write_bytes((b"spam" * 24 + b"eggs\n") * (3 * 2**20 // 101 - 100))
    size = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())
    (tree / "rest").write_bytes(b" " * (3 * 2**20 - size))
    done = run(tree, "--limit=3", "--threads=1", "--json", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["bytes"] == 3 * 2**20
    (tree / "too_much").write_bytes(b" ")
    refused(tree, "--limit=3", saying="holds more than 3 MiB of text")


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_output_files_are_checked_first(option: str, tree: Path, tmp_path: Path) -> None:
    # The path does not exist either: that nothing is said of it shows the order.
    missing = tmp_path / "absent"
    refused(missing, option, tmp_path / "no" / "file", saying="cannot write ")
    refused(missing, option, tree, saying="Is a directory")
    refused(missing, option, "", saying="cannot write ")
    refused(tree, "--json", tmp_path / "a", "--plot", tmp_path / "a", saying="the same file")
    assert not (tmp_path / "a").exists()


def test_a_picture_that_is_no_svg(tree: Path, tmp_path: Path) -> None:
    refused(tree, "--plot", tmp_path / "a.png", saying="argument --plot: the picture is an SVG")
    assert not (tmp_path / "a.png").exists()


def test_output_files_stay_as_they_were_if_the_work_fails(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.svg"
    old.write_text("{}")
    refused(tmp_path / "absent", "--json", old, "--plot", new, saying="cannot read")
    assert old.read_text() == "{}"
    assert not new.exists()


def test_a_result_replaces_an_older_and_longer_one(tree: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text("x" * 1_000_000)
    assert run(tree, "--threads=1", "--json", old).returncode == 0
    assert json.loads(old.read_text())["files"] == 4


def test_no_standard_output_at_all(tree: Path, tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *DEMO]
    done = run(tree, "--threads=1", "--json", tmp_path / "result.json", command=command)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["files"] == 4


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_disk_that_is_full(tree: Path) -> None:
    done = run(tree, "--threads=1", "--json", "/dev/full")
    assert done.returncode == 1
    assert done.stderr == "latchwork demo: cannot write /dev/full: No space left on device\n"
    assert "Skipped" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_standard_output_that_is_full(buffered: str, tree: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    other = tmp_path / "other.json"
    result.write_text(json.dumps(result_of("GIL", 0.91, 0.92, 3.93)))
    other.write_text(json.dumps(result_of("free-threaded", 0.91, 0.92, 3.93)))
    for module, *arguments in (
        ["latchwork demo", "--explain", result, other],
        ["latchwork demo", tree, "--threads=1", "--json", result],
        ["latchwork demo", "--help"],
        ["latchwork", "--help"],
        ["latchwork", "info"],
        ["latchwork", "info", "--help"],
    ):
        command = [sys.executable, "-m", *module.split()]
        done = run(
            *arguments,
            command=["sh", "-c", 'exec "$@" >/dev/full', "sh", *command],
            env={"PYTHONUNBUFFERED": buffered},
        )
        assert done.returncode == 1
        assert (
            done.stderr == f"{module}: cannot write to standard output: No space left on device\n"
        )
    # What could be written was.
    assert json.loads(result.read_text())["files"] == 4
    done = run(tmp_path / "absent", command=["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *DEMO])
    assert done.returncode == 2
    assert done.stdout == ""
    done = run(tmp_path / "absent", command=["sh", "-c", 'exec "$@" 2>&-', "sh", *DEMO])
    assert done.returncode == 2
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["demo", "info"])
def test_a_reader_that_has_gone(command: str, tree: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    arguments = [tree, "--threads=1", "--json", result] if command == "demo" else []
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "latchwork", command, *map(os.fspath, arguments)],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert done.stderr == b""
    if command == "demo":
        assert json.loads(result.read_text())["files"] == 4


def test_the_picture(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tree / "picture.svg"
    done = run(tree, "--threads=2", "--plot", file)
    assert done.returncode == 0, done.stderr
    assert "1 written by this run (picture.svg)" in done.stdout
    if os.path.exists("/dev/full"):  # it is drawn even if the other result cannot be written
        drawn = file.read_bytes()
        file.unlink()
        done = run(tree, "--threads=2", "--plot", file, "--json", "/dev/full")
        assert done.returncode == 1
        assert len(file.read_bytes()) > len(drawn) / 2
    root = ElementTree.parse(file).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = " ".join("".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text"))
    for words in ("dict + threading.Lock", "ConcurrentDict", "C extension", "threads", "speed-up"):
        assert words in text


# ---- Counts that are wrong: each planted engine below is one that the demo must catch. ----


class Forgetful(LockedDict):
    """Loses one update of one word."""

    def counts(self) -> dict[bytes, int]:
        return {word: n - (word == b"int") for word, n in super().counts().items()}


class Partial(LockedDict):
    """Never saw one of the words, and made another up."""

    def counts(self) -> dict[bytes, int]:
        counts = {word: n for word, n in super().counts().items() if word != b"eggs"}
        return counts | {b"ham": 1}


@pytest.mark.parametrize(
    ("engine", "complaints"),
    [
        (Forgetful, ["1 of 8 identifiers differ", "int is 99, should be 100"]),
        (Partial, ["2 of 8", "eggs is missing, should be 2", "ham is 1, should be absent"]),
    ],
)
def test_a_wrong_count_fails_and_is_named(
    engine: type[LockedDict],
    complaints: list[str],
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = [EngineKind("right", LockedDict), EngineKind("planted", engine)]
    monkeypatch.setattr(demo, "engine_kinds", lambda: kinds)
    json_file = tmp_path / "result.json"
    assert demo.main([str(tree), "--threads=1", "--json", str(json_file)]) == 1
    out, err = capsys.readouterr()
    assert "planted, 1 thread: " in err
    assert all(complaint in err for complaint in complaints)
    assert "right, " not in err
    assert "WRONG" in out
    assert [row["correct"] for row in json.loads(json_file.read_text())["rows"]] == [True, False]
    if os.path.exists("/dev/full"):  # and it is named if a result cannot be written
        assert demo.main([str(tree), "--threads=1", "--json", "/dev/full"]) == 1
        err = capsys.readouterr().err
        assert "planted, 1 thread: " in err
        assert "cannot write /dev/full" in err


def test_an_engine_that_raises_ends_the_demo(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Exhausted(LockedDict):
        def add(self, texts: Sequence[bytes], /) -> None:
            raise MemoryError

    monkeypatch.setattr(demo, "engine_kinds", lambda: [EngineKind("planted", Exhausted)])
    assert demo.main([str(tree), "--threads=2"]) == 2
    assert (
        capsys.readouterr().err
        == "latchwork demo: out of memory; name a smaller tree or fewer threads\n"
    )


# ---- What is not installed. ----


def without(package: str) -> list[str]:
    program = f"import sys; sys.modules[{package!r}] = None; from latchwork.demo import main; "
    return [sys.executable, "-c", program + "sys.exit(main())"]


def test_without_wordindex(tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = run(tree, "--threads=2", "--json", file, command=without("wordindex"))
    assert done.returncode == 0, done.stderr
    assert "C extension (wordindex) was left out: not installed; " in done.stdout
    assert "pip install --no-build-isolation ./examples/wordindex" in done.stdout
    result = json.loads(file.read_text())
    assert [one["engine"] for one in result["missing"]] == ["C extension (wordindex)"]
    assert len(result["rows"]) == 4


def test_with_another_wordindex(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "wordindex.py").touch()
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run(tree, "--threads=1", env={"PYTHONPATH": path})
    assert done.returncode == 0
    assert "another wordindex is there" in done.stdout


def test_without_the_optional_packages(tree: Path, tmp_path: Path) -> None:
    done = run(tree, command=without("rich"))
    assert done.returncode == 2
    assert done.stderr.startswith("latchwork demo: rich is not installed; pip install")
    done = run(tree, "--plot", tmp_path / "a.svg", command=without("matplotlib"))
    assert done.returncode == 2
    assert done.stderr.startswith("latchwork demo: matplotlib is not installed; pip install")


# ---- On a terminal. ----


@contextlib.contextmanager
def on_a_terminal(*arguments: str):
    """The demo as the foreground process of a terminal of its own; yields it and our end."""
    ours, theirs = pty.openpty()
    program = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "from latchwork.demo import main; sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, wanted: str | None) -> str:
    """What the terminal shows until `wanted` appears; until the end, for None."""
    shown = b""
    deadline = time.monotonic() + 120
    while wanted is None or wanted.encode() not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"waited for {wanted!r}, saw {shown[-2000:]!r}"
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux says that the last writer has closed a terminal
            data = b""
        if not data:
            assert wanted is None, f"waited for {wanted!r}, saw {shown[-2000:]!r}"
            break
        shown += data
    return shown.decode()


def test_ctrl_c_in_the_middle() -> None:
    # The standard library is enough to be in the middle of it; \x03 is what Ctrl-C types.
    with on_a_terminal("--threads=2") as (process, terminal):
        before = read_until(terminal, "dict + threading.Lock, 1 thread")
        os.write(terminal, b"\x03")
        after = read_until(terminal, None)
        assert process.wait(timeout=60) == 130
    assert "Traceback" not in before + after
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", after)
    assert plain.rstrip().splitlines()[-1].endswith("latchwork demo: interrupted, no result")
    assert "speed-up" not in plain


@pytest.mark.parametrize("importing", ["latchwork.demo", "argparse", "rich"])
def test_ctrl_c_while_it_starts(importing: str, tree: Path) -> None:
    """As if it came in the middle of an import."""
    program = f"""
import runpy, sys
class Interrupted:
    def find_spec(name, path=None, target=None):
        if name == {importing!r}:
            raise KeyboardInterrupt
for name in [name for name in sys.modules if name.partition(".")[0] == {importing!r}]:
    del sys.modules[name]
sys.meta_path.insert(0, Interrupted)
runpy.run_module("latchwork", run_name="__main__", alter_sys=True)
"""
    done = run("demo", tree, command=[sys.executable, "-c", program])
    assert done.returncode == 130
    assert done.stdout == ""
    assert re.fullmatch(r"latchwork( demo)?: interrupted.*\n", done.stderr)


def test_ctrl_c_while_the_options_are_read() -> None:
    program = """
import argparse, sys
from latchwork import _demo_report as report
from latchwork import demo
def interrupted(*_):
    raise KeyboardInterrupt
argparse.ArgumentParser.parse_args = interrupted
sys.exit(demo.main([]))
"""
    done = run(command=[sys.executable, "-c", program])
    assert done.returncode == 130
    assert done.stderr == "latchwork demo: interrupted, no result\n"


@pytest.mark.parametrize("columns", [40, 80, 90, 100])
def test_the_table_on_a_narrow_terminal(columns: int, tree: Path) -> None:
    (tree / "long").write_text("a_name_of_more_than_thirty_letters " * 1000)
    done = run(tree, "--threads=1", env={"COLUMNS": str(columns)})
    lines = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert lines
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= max(columns, 80)
    assert all(line.endswith("│") for line in lines)
    cells = ["".join(column).replace(" ", "") for column in zip(*map(cells_of, lines), strict=True)]
    for text, cell in (("C extension (wordindex)", 1), ("ConcurrentDict + AtomicInt", 1)):
        assert text.replace(" ", "") in cells[cell]
    assert "a_name_of_more_than_thirty_letters\N{NO-BREAK SPACE}1000" in cells[5]
    assert "threading.Lock" in done.stdout  # in one piece


def cells_of(line: str) -> list[str]:
    return line.strip("│").split("│")


def test_progress_on_a_terminal(tree: Path) -> None:
    with on_a_terminal(str(tree), "--threads=1") as (process, terminal):
        shown = read_until(terminal, None)
        assert process.wait(timeout=60) == 0
    assert "reading" in shown or "collections.Counter" in shown or "0/1" in shown
    assert "speed-up" in shown


# ---- What the results of two interpreters mean. ----


def result_of(kind: str, *speedups: float, cpu: float = 1.0) -> dict[str, object]:
    engines = ["dict + threading.Lock", "ConcurrentDict + AtomicInt", "C extension (wordindex)"]
    rows = [
        {
            "engine": engine,
            "threads": n,
            "seconds": 1.0,
            "cpu_seconds": cpu,
            "speedup": speedup if n == 4 else 1.0,
        }
        for engine, speedup in zip(engines, speedups, strict=True)
        for n in (1, 2, 4)
    ]
    return {"interpreter": {"kind": kind, "version": f"3.13 {kind}"}, "rows": rows}


def test_two_sentences_on_two_results(tmp_path: Path) -> None:
    gil, free = tmp_path / "gil.json", tmp_path / "free.json"
    gil.write_text(json.dumps(result_of("GIL", 0.91, 0.92, 3.93)))
    free.write_text(json.dumps(result_of("free-threaded", 2.94, 2.95, 3.96)))
    for files in ((gil, free), (free, gil)):
        done = run("--explain", *files)
        assert done.returncode == 0, done.stderr
        figures = re.findall(r"\d\.\d\d\b", re.sub(r"\(.*?\)", "", done.stdout))
        assert figures == ["0.91", "0.92", "3.93", "2.94", "2.95", "3.96"]
        assert "busy" not in done.stdout
    free.write_text(json.dumps(result_of("free-threaded", 2.94, 2.95, 3.96, cpu=0.4)))
    assert "a single thread got 40% of a core" in run("--explain", gil, free).stdout
    refused("--explain", gil, gil, saying="one GIL and one free-threaded")
    refused("--explain", gil, tmp_path / "absent", saying="cannot read")
    for option in ("--json", "--plot"):
        refused("--explain", gil, free, option, tmp_path / "a.svg", saying="measures nothing")
    refused("--explain", gil, free, "--", tmp_path, saying="measures nothing")


ROW = {"engine": "C", "threads": 1, "seconds": 1, "cpu_seconds": 1, "speedup": 1}
RESULT = {"interpreter": {"kind": "GIL", "version": "3"}, "rows": [ROW]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '"\xff"',
        *(
            json.dumps(RESULT | {"rows": rows})
            for rows in (
                None,
                [],
                [1],
                {},
                [{}],
                [ROW | {"engine": 4}],
                [ROW | {"speedup": "1"}],
                [ROW | {"speedup": 10**400}],
                [ROW | {"seconds": float("nan")}],
                [ROW | {"threads": None}],
                [ROW, {}],
            )
        ),
        json.dumps(RESULT | {"interpreter": "GIL"}),
        json.dumps(RESULT | {"interpreter": {"kind": ["GIL"], "version": "3"}}),
        json.dumps(RESULT | {"rows": [{"threads": 1, "engine": 4, "speedup": 1}]}),
    ],
)
def test_what_is_no_result(text: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    other = {"kind": "free-threaded", "version": "3"}
    good.write_text(json.dumps(RESULT | {"interpreter": other}))
    bad.write_text(text, encoding="latin-1")
    for files in ((good, bad), (bad, good)):
        refused("--explain", *files, saying=str(bad))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


def one_of_it_replaced(value: object) -> st.SearchStrategy[object]:
    """`value`, or with something else in some place of it."""
    if isinstance(value, dict):
        inner = st.fixed_dictionaries(
            {}, optional={key: one_of_it_replaced(each) for key, each in value.items()}
        ).map(lambda changed: {**value, **changed})
    elif isinstance(value, list):
        inner = st.tuples(*map(one_of_it_replaced, value)).map(list)
    else:
        inner = st.just(value)
    return inner | JSON


@given(one_of_it_replaced(RESULT), st.sampled_from(["GIL", "free-threaded"]))
def test_whatever_is_taken_for_a_result_can_be_explained(value: object, kind: str) -> None:
    if report.is_result(value):
        value["interpreter"]["kind"] = kind
        other = "GIL" if kind == "free-threaded" else "free-threaded"
        results = [value, RESULT | {"interpreter": {"kind": other, "version": "3"}}]
        assert "With the GIL" in report.explain(results)


def test_the_definition_of_an_identifier() -> None:
    found = [
        word for word in IDENTIFIER.findall(b"_a1 0x1f 1e5 x.y \xc3\xa9t\xc3\xa9 9z a-b") if word
    ]
    assert found == [b"_a1", b"x", b"y", "été".encode(), b"a", b"b"]
