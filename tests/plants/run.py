#!/usr/bin/env python3
"""Show that the tests notice the bugs that they are there for.

Each plant (plants.py) is put into a copy of the sources, and the tests that it names are built and
run there; each of them has to fail, and to say why. A stress test, which meets a bug by chance,
may need a few runs for that. Before, every one of these tests has to pass on a copy without a
plant. The page docs/verification.md lists all plants; --markdown writes it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plants import PLANTS, Catch, Plant
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "verification.md"
BEGIN, END = "<!-- plants: begin -->", "<!-- plants: end -->"
TRIES = 3  # runs of a stress test, each of another seed unless LW_SEED says one
HUNG_S = 20.0
SLOW_S = 120.0  # for what has no plant, and does not hang
HUNG_CHILD_S = 8  # a forked child that hangs is ended by the test itself
ALL_C = Path("src/all.c")
SUITES = ("unit", "stress", "linearizability", "fuzz", "vendor")
GCC = ["gcc", "-O1", "-g1"]
CLANG = ["clang", "-O1", "-g1"]
BUILDS = {
    "plain": [*GCC],
    "unit": [
        "gcc",
        "-O0",
        "-g1",
    ],  # plain for unit tests, and compiled in a third of the time
    "posix": [*GCC, "-DLW_PLATFORM_POSIX"],
    "unwind": [*GCC, "-fexceptions"],
    "noise": [*GCC, "-DLW_ATOMIC_NOISE"],
    "no-spin": [*GCC, "-DLW_SPIN_LOOKS=0"],  # who waits sleeps, and so is to be woken
    "asan": [*GCC, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "asan-no-spin": [
        *[*GCC, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        "-DLW_SPIN_LOOKS=0",
    ],
    "tsan": [*CLANG, "-fsanitize=thread", "-DLW_ATOMIC_TSAN"],
    "fuzz": [*CLANG, "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"],
    # The extension module, for a case of tests/python.
    "python": ["gcc", "-O0", "-g1", "-fPIC", "-fvisibility=hidden", "-DLW_PYTHON"],
}


class PlantError(Exception):
    """The plant itself is wrong: it does not fit, or does not compile."""


@dataclass
class Result:
    plant: str
    catch: Catch | None
    caught: bool
    seconds: float
    note: str  # what the test said, or why this is a failure


@functools.cache
def interpreter() -> tuple[Path, list[str]]:
    """The newest free-threaded one; where its headers are, and how modules for it are named."""
    found = (ROOT / "build" / "venv").glob("*.*t/bin/python")
    pythons = sorted(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path.parts[-3])])
    if not pythons:
        raise PlantError("no free-threaded interpreter in build/venv: run tools/setup")
    ask = "import sysconfig as s; print(s.get_path('include'), s.get_config_var('EXT_SUFFIX'))"
    done = subprocess.run([pythons[-1], "-c", ask], capture_output=True, text=True, check=True)
    return pythons[-1], done.stdout.split()


def cpu_seconds(session: int) -> float:
    """What the processes of a session have used so far, of those that are there still."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_for(
    process: subprocess.Popen[str], limit_s: float, slots: threading.Semaphore
) -> tuple[int | None, float]:
    """Its exit status, or None: it was ended at the limit; and how long that was. While all of it
    sleeps, as one that hangs does, another may have its slot."""
    begin = time.monotonic()
    deadline = begin + limit_s
    used = 0.0
    has_slot = True
    status = None
    while status is None and (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(min(1.5, left))
            break
        before, used = used, cpu_seconds(process.pid)
        asleep = used - before < 0.1
        if asleep and has_slot:
            slots.release()
            has_slot = False
        elif not asleep and not has_slot:
            has_slot = slots.acquire(timeout=max(deadline - time.monotonic(), 0))
    if status is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    seconds = time.monotonic() - begin
    if not has_slot:
        slots.acquire()
    return status, seconds


class Copy:
    """A copy of the sources, changed or not, and the test programs built from it."""

    def __init__(
        self,
        folder: Path,
        plant: Plant | None,
        slots: threading.Semaphore,
        healthy: Copy | None = None,
    ) -> None:
        self.folder = folder
        self._slots = slots  # its user holds one
        self._locks: dict[Path, threading.Lock] = {}  # one for each file that is made
        self._edits = plant.edits if plant is not None else ()
        self._healthy = healthy
        for part in ("include", "src", "tests", "pyext"):
            shutil.copytree(ROOT / part, folder / part)
        for edit in self._edits:
            file = folder / edit.file
            text, fits = edit.apply(file.read_text())
            if fits != 1:
                raise PlantError(
                    f"does not apply: {edit.file} has {fits} times: "
                    f"{edit.old.strip().splitlines()[0]}"
                )
            file.write_text(text)

    def _compile(self, command: list[str | Path]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if "error" in line]
            raise PlantError(f"does not compile: {(said or [done.stderr])[0]}")

    def _making(self, target: Path) -> threading.Lock:
        return self._locks.setdefault(target, threading.Lock())

    def _is_changed(self, source: Path) -> bool:
        """Only all.c includes other source files."""
        mine = "src/" if source == ALL_C else str(source)
        return any(edit.file.endswith(".h") or edit.file.startswith(mine) for edit in self._edits)

    def _object(self, build: str, source: Path, extra: list[str]) -> Path:
        """One source file, compiled once; by the healthy copy, if that has the same."""
        if self._healthy is not None and not self._is_changed(source):
            return self._healthy._object(build, source, extra)
        return self._compile_object(build, source, extra)

    def _compile_object(self, build: str, source: Path, extra: list[str]) -> Path:
        target = self.folder / "objects" / build / f"{source.parent.name}-{source.stem}.o"
        with self._making(target):
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                include = [f"-I{self.folder / 'include'}", f"-I{self.folder / 'tests/support'}"]
                flags = [*BUILDS[build], "-std=gnu11", "-pthread", *include, *extra]
                self._compile([*flags, "-c", self.folder / source, "-o", target])
        return target

    def build(self, catch: Catch) -> Path:
        """What `run` needs: the program, or the folder of the Python package."""
        if catch.build == "python":
            return self._build_package()
        is_unit = catch.build == "plain" and catch.program.startswith("test_")
        build = "unit" if is_unit else catch.build
        program = self.folder / f"{catch.program}-{build}"
        with self._making(program):
            if not program.exists():
                self._link(catch, build, program)
        return program

    def _link(self, catch: Catch, build: str, program: Path) -> None:
        sources = (Path("tests", suite, f"{catch.program}.c") for suite in SUITES)
        source = next((file for file in sources if (self.folder / file).exists()), None)
        if source is None:
            raise PlantError(f"names no test program: {catch.program}")
        support = ["heap", "support", "watchdog", "linearizability"]
        if source.parent.name in ("stress", "linearizability"):
            support.append("stress")
        libraries = ["-ldl"]
        if source.parent.name in ("unit", "vendor"):
            support.append("unit")
            libraries.append("-lcmocka")
        macros = []
        if source.parent.name == "vendor":
            macros = self._build_copies(BUILDS[build])
        objects = [self._object(build, ALL_C, [])]
        if macros:
            objects.append(self._compile_object(build, source, macros))
        else:
            objects.append(self._object(build, source, []))
        objects += [self._object(build, Path("tests/support", f"{name}.c"), []) for name in support]
        self._compile([*BUILDS[build], "-pthread", *objects, *libraries, "-o", program])

    def _build_copies(self, flags: list[str]) -> list[str]:
        """The libraries that test_copies loads, and the macros that tell it where they are."""
        kinds = {"a": [], "b": [], "version": ["-DLW_ABI_VERSION=999"]}
        kinds["platform"] = ["-DLW_PLATFORM_POSIX"]
        options = [*flags, "-std=gnu11", "-pthread", f"-I{self.folder / 'include'}"]
        macros = []
        for kind, extra in kinds.items():
            library = self.folder / f"{kind}.so"
            shared = [*options, *extra, "-shared", "-fPIC", "-fvisibility=hidden"]
            self._compile([*shared, self.folder / "tests" / "vendor" / "copy.c", "-o", library])
            macros.append(f'-DVENDOR_COPY_{kind.upper()}="{library}"')
        return macros

    def _build_package(self) -> Path:
        package = self.folder / "package"
        include, suffix = interpreter()[1]
        module = package / "latchwork" / f"_core{suffix}"
        with self._making(module):
            if not module.exists():
                files = sorted((self.folder / "pyext" / "src").glob("*.c"))
                sources = [ALL_C, *(file.relative_to(self.folder) for file in files)]
                objects = [self._object("python", source, [f"-I{include}"]) for source in sources]
                shutil.copytree(self.folder / "pyext" / "latchwork", module.parent)
                for part in ("include", "src"):  # as installed, for extensions of tests
                    shutil.copytree(self.folder / part, module.parent / part)
                self._compile([*BUILDS["python"], "-shared", *objects, "-lm", "-o", module])
        return package

    def run(self, catch: Catch) -> tuple[int, str, float]:
        """The exit status, what was said, and how long it took; a test that hangs is ended, and
        said to hang."""
        environment = {
            **os.environ,
            "LW_SECONDS": str(catch.seconds),
            "LW_WATCHDOG": "4",
            "LW_HUNG_CHILD": str(HUNG_CHILD_S),
            "ASAN_OPTIONS": "detect_leaks=1",
            "TSAN_OPTIONS": "halt_on_error=1",
            **dict(catch.environment),
        }
        command: list[str | Path] = [self.build(catch)]
        if catch.build == "fuzz":
            command += [f"-max_total_time={math.ceil(catch.seconds)}", "-max_len=300"]
        elif catch.build == "python":
            environment["PYTHONPATH"] = str(command[0])  # goes before what is installed
            case = f"tests/python/{catch.program}.py::{catch.case}"
            # -P: the folder has a platform.so, of test_copies, which Python would import.
            command = [interpreter()[0], "-P", "-m", "pytest", "-qx", "--tb=short", case]
        else:
            command.append(catch.case)
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            limit_s = max(HUNG_S if self._edits else SLOW_S, catch.seconds + 15)
            ended, seconds = wait_for(process, limit_s, self._slots)
            status = ended if ended is not None else process.wait()
            output.seek(0)
            said = output.read()
        if ended is None:
            said += "\nTimeout: it hung and was ended\n"
        if status < 0:
            said += f"\nended by signal {-status}\n"
        return status, said, seconds


def evidence(said: str, pattern: str) -> str | None:
    """The line that shows what was caught."""
    for line in said.splitlines():
        if re.search(pattern, line):
            line = re.sub(r"^.*/tests/", "tests/", line.strip(" =\t"))
            return re.sub(r"^==\d+==\s*", "", line)[:160]
    return None


def first_failure(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if re.search("FAILED|ERROR|WARNING|ended by", line)]
    return (wrong or lines or ["it said nothing"])[0][:160]


def try_catch(plant: Plant, catch: Catch, copy: Copy) -> Result:
    tries = 1 if catch.program.startswith("test_") else TRIES
    number, seconds, status = 0, 0.0, 0
    while status == 0 and number < tries:
        status, said, took = copy.run(catch)
        number, seconds = number + 1, seconds + took
    shown = evidence(said, catch.says)
    if status == 0:
        note = f"passed {number} times: the bug was not noticed"
    elif shown is None:
        note = f"it failed for another reason: {first_failure(said)}"
    else:
        note = shown if number == 1 else f"run {number}: {shown}"
    caught = status != 0 and shown is not None
    return Result(plant.name, catch, caught, seconds, note)


def try_plant(
    plant: Plant, folder: Path, slots: threading.Semaphore, healthy: Copy
) -> list[Result]:
    begin = time.monotonic()
    results: list[Result] = []
    slots.acquire()
    try:
        copy = Copy(folder, plant, slots, healthy)
        for catch in plant.catches:
            copy.build(catch)
            begin = time.monotonic()
            results.append(try_catch(plant, catch, copy))
    except PlantError as error:
        results.append(Result(plant.name, None, False, time.monotonic() - begin, str(error)))
    finally:
        slots.release()
        shutil.rmtree(folder, ignore_errors=True)
    return results


def try_healthy(
    catches: Iterable[Catch],
    copy: Copy,
    slots: threading.Semaphore,
    pool: concurrent.futures.Executor,
) -> list[Result]:
    """Each test has to pass where nothing is planted, or its failure says nothing."""

    def one(catch: Catch) -> Result:
        with slots:
            return try_one(catch)

    def try_one(catch: Catch) -> Result:
        begin = time.monotonic()
        try:
            copy.build(catch)
            status, said, took = copy.run(catch)
        except PlantError as error:
            return Result("(none)", catch, False, time.monotonic() - begin, str(error))
        note = "passes" if status == 0 else f"fails without a plant: {first_failure(said)}"
        return Result("(none)", catch, status == 0, took, note)

    def seconds(catch: Catch) -> float:
        """Longer than most plants need; other steps run the same tests for longer still."""
        return 60.0 if catch.build == "python" else 2.0

    shortened = {
        Catch(one.program, one.case, "", one.build, seconds(one), one.environment)
        for one in catches
    }
    return list(pool.map(one, sorted(shortened, key=lambda catch: catch.name)))


def page_names() -> list[str]:
    text = PAGE.read_text() if PAGE.exists() else ""
    listed = text.partition(BEGIN)[2].partition(END)[0]
    return re.findall(r"^\| `([a-z0-9-]+)` \|", listed, re.MULTILINE)


def write_page(results: list[Result]) -> None:
    lines = [BEGIN, "", "| plant | bug | caught by | seconds |", "|---|---|---|---|"]
    for plant in PLANTS:
        mine = [one for one in results if one.plant == plant.name and one.catch is not None]
        by = "<br>".join(f"`{one.catch.name}`" for one in mine if one.catch is not None)
        seconds = "<br>".join(f"{one.seconds:.1f}" for one in mine)
        lines.append(f"| `{plant.name}` | {plant.bug} | {by} | {seconds} |")
    lines += ["", END]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + "\n".join(lines) + after)


def write_junit(file: Path, results: list[Result]) -> None:
    suite = ElementTree.Element("testsuite", name="plants")
    for one in results:
        name = one.catch.name if one.catch is not None else "applies"
        case = ElementTree.SubElement(
            suite, "testcase", classname=one.plant, name=name, time=f"{one.seconds:.2f}"
        )
        if not one.caught:
            ElementTree.SubElement(case, "failure", message=one.note)
    suite.set("tests", str(len(results)))
    suite.set("failures", str(sum(not one.caught for one in results)))
    ElementTree.ElementTree(suite).write(file, encoding="unicode", xml_declaration=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="plants to try; all of them unless given")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write a JUnit report")
    jobs = len(os.sched_getaffinity(0)) + 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"how many at once ({jobs})")
    parser.add_argument(
        "--markdown", action="store_true", help="write the table of docs/verification.md"
    )
    arguments = parser.parse_args()
    known = {plant.name for plant in PLANTS}
    for name in arguments.names:
        if name not in known:
            parser.error(f"no plant is named {name}")
    chosen = [plant for plant in PLANTS if not arguments.names or plant.name in arguments.names]
    console = Console(stderr=True)
    results: list[Result] = []
    with (
        tempfile.TemporaryDirectory(prefix="latchwork-plants-") as scratch,
        concurrent.futures.ThreadPoolExecutor(4 * arguments.jobs) as pool,
        Progress(console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("plants", total=len(chosen) + 1)
        catches = {catch for plant in chosen for catch in plant.catches}
        slots = threading.Semaphore(arguments.jobs)
        copy = Copy(Path(scratch) / "healthy", None, slots)
        healthy = try_healthy(catches, copy, slots, pool)
        progress.advance(task)
        futures = {
            plant.name: pool.submit(try_plant, plant, Path(scratch) / plant.name, slots, copy)
            for plant in chosen
        }
        for future in futures.values():
            future.add_done_callback(lambda _: progress.advance(task))
        for future in futures.values():
            results += future.result()
    table = Table("plant", "test", "", "seconds", "what it said")
    for one in [*(one for one in healthy if not one.caught), *results]:
        verdict = "[green]caught[/]" if one.caught else "[red]FAILED[/]"
        name = one.catch.name if one.catch is not None else ""
        table.add_row(one.plant, name, verdict, f"{one.seconds:.1f}", one.note)
    Console().print(table)
    results = healthy + results
    if not arguments.names:
        if arguments.markdown:
            write_page(results)
        listed = page_names() == [plant.name for plant in PLANTS]
        note = "docs/verification.md does not list the plants: run with --markdown"
        results.append(Result("docs", None, listed, 0.0, "lists every plant" if listed else note))
        if not listed:
            print(f"FAILED: {note}")
    if arguments.junit is not None:
        write_junit(arguments.junit, results)
    failed = sum(not one.caught for one in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
