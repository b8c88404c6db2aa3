#!/usr/bin/env python3
"""Check the models: Relacy over the shipped sources, Spin over protocols with more threads.

Every suite has to pass. Every planted bug (plants.py), put into a copy of the sources, has to be
found. Every acquire, release and fence of the sources tested is weakened in turn, and some suite
has to fail by it; or suites.py says why that order may be weaker. docs/models.md has the rest.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from plants import PLANTS, SPIN_MODELS, Plant, SpinModel
from suites import AREAS, FIRST, REDUNDANT, UNREACHED, Area, Suite

try:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
except ImportError:  # the plain form below will do
    Console = None  # type: ignore[assignment, misc]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CXX = os.environ.get("CXX", "g++")
FLAGS = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wno-type-limits", "-Wno-unused-function"]
PREFIX = "relacy.hpp"  # in the build folder: precompiled, as it takes longer than the rest
PAGE = ROOT / "docs" / "verification.md"
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
FOUND, PASSED, OUT_OF_TIME = 1, 0, 3
MUTANT_S = 60

SITE = re.compile(r"\blw_atomic_(\w+?)_(acquire|release|acq_rel)_(u8|u32|u64|ptr)\(")
FENCE = re.compile(r"\blw_(fence_light|fence_seq_cst|membarrier)_?\(\)")
WEAKER = {
    "acquire": ("relaxed",),
    "release": ("relaxed",),
    "acq_rel": ("relaxed", "acquire", "release"),
}


@dataclass
class Check:
    """One line of the report."""

    kind: str  # suite, plant, order, spin, docs
    name: str
    passed: bool
    seconds: float
    note: str
    by: str = ""  # what caught a plant
    not_tried: str = ""  # why

    @property
    def verdict(self) -> str:
        return "skipped" if self.not_tried else "ok" if self.passed else "FAILED"


@dataclass(frozen=True)
class Run:
    """One way to explore a suite."""

    area: str
    suite: str
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        return " ".join((self.suite, *(part.lstrip("-") for part in self.options)))


@dataclass
class Outcome:
    status: int
    result: str
    executions: int = 0
    seconds: float = 0.0
    sites: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """A crash of the checked code is a finding, too."""
        return self.status == FOUND or self.status < 0


class ModelError(Exception):
    """The models are wrong, rather than what they check."""


def runs_of(area: str, name: str, suite: Suite, depth: str) -> list[Run]:
    """`depth`: "mutant", "quick", "verify" or "soak"."""
    runs = []
    bound = {"soak": suite.soak_bound, "verify": suite.bound}.get(depth, min(2, suite.bound))
    random = suite.random * (50 if depth == "soak" else 1)
    fences = suite.fences[:1] if depth == "quick" else suite.fences
    for fence in fences:
        option = ("--fences", fence) if len(suite.fences) > 1 else ()
        runs.append(Run(area, name, ("--bound", str(bound), *option)))
        if random and depth != "quick":
            runs.append(Run(area, name, ("--random", str(random), *option)))
    return runs


def compile_cxx(root: Path, *arguments: str | Path) -> None:
    command = [CXX, *FLAGS, f"-I{HERE}", f"-I{root / 'include'}", f"-I{root / 'src'}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "error" in line]
        raise ModelError(f"{arguments[-1]} does not compile: {(said or [done.stderr])[0]}")


def compile_prefix(folder: Path, source: Path) -> None:
    """What atomic/relacy.h includes, which depends on nothing before it."""
    header = folder / PREFIX
    header.write_text("#include <errno.h>\n#include <string.h>\n#include <relacy/relacy.hpp>\n")
    compile_cxx(source, "-x", "c++-header", header, "-o", f"{header}.gch")


def compile_harness(area: Area, root: Path, program: Path, folder: Path) -> None:
    """In the build folder are the engine and the precompiled prefix."""
    prefix = ("-include", folder / PREFIX, "-Winvalid-pch")
    compile_cxx(root, *prefix, HERE / area.harness, folder / "engine.o", "-o", program)


def execute(program: Path, run: Run, *more: str, seconds: int) -> Outcome:
    command = [program, run.suite, *run.options, "--seconds", str(seconds), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return Outcome(done.returncode, signal.Signals(-done.returncode).name)
    if done.returncode not in (PASSED, FOUND, OUT_OF_TIME):
        raise ModelError(f"{run.name}: {done.stderr.strip() or done.returncode}")
    said = json.loads(done.stdout)
    return Outcome(
        done.returncode,
        said["result"],
        said.get("iterations", 0),
        said.get("seconds", 0.0),
        said.get("sites", []),
    )


# ---- suites ----


def check_suite(program: Path, run: Run, seconds: int) -> tuple[Check, Outcome]:
    start = time.monotonic()
    outcome = execute(program, run, "--coverage", seconds=seconds)
    passed = outcome.status == PASSED and outcome.executions > 0
    note = f"{outcome.executions} executions" if passed else outcome.result
    return Check("suite", run.name, passed, time.monotonic() - start, note), outcome


# ---- planted bugs ----


def copy_sources(source: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("include", "src"):
        shutil.copytree(source / part, folder / part)


def apply_plant(plant: Plant, source: Path, folder: Path) -> None:
    copy_sources(source, folder)
    for edit in plant.edits:
        file = folder / edit.file
        text, fits = edit.apply(file.read_text())
        if fits != 1:
            raise ModelError(f"fits {fits} times in {edit.file}: {edit.old!r}")
        file.write_text(text)


def check_plant(plant: Plant, source: Path, build: Path) -> Check:
    """Caught by the first of its suites; each of them was named because it should."""
    start = time.monotonic()
    folder = build / "plants" / plant.name
    missed = []
    by = ""
    try:
        apply_plant(plant, source, folder)
        program = folder / plant.area
        compile_harness(AREAS[plant.area], folder, program, build)
        for name in plant.suites:
            suite = AREAS[plant.area].suites[name]
            for run in runs_of(plant.area, name, suite, "verify"):
                outcome = execute(program, run, seconds=MUTANT_S)
                if outcome.found:
                    by = f"`{run.name}`"
                    note = f"{run.name}: {outcome.result}"
                    break
                missed.append(run.name)
            else:
                continue
            break
    except (ModelError, KeyError) as error:
        return Check("plant", plant.name, False, time.monotonic() - start, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not by:
        note = f"not found by {', '.join(missed)}"
    return Check("plant", plant.name, bool(by), time.monotonic() - start, note, by)


# ---- weakened orders ----


@dataclass(frozen=True)
class Site:
    file: str
    line: int
    op: str
    weaker: tuple[str, ...]
    text: str

    @property
    def key(self) -> str:
        """As the harness writes it."""
        return f"{Path(self.file).name}:{self.line}:{self.op}"


def sites_of(source: Path, file: str) -> list[Site]:
    sites = []
    for line, text in enumerate((source / file).read_text().splitlines(), 1):
        if text.lstrip().startswith(("/*", "*")):
            continue
        for match in SITE.finditer(text):
            operation, order, kind = match.groups()
            op = f"{operation}_{order}_{kind}"
            sites.append(Site(file, line, op, WEAKER[order], text.strip()))
        sites += [
            Site(file, line, match[1], ("none",), text.strip()) for match in FENCE.finditer(text)
        ]
    return sites


def check_order(
    site: Site, order: str, runs: list[Run], programs: dict[str, Path], why: str | None
) -> Check:
    """A weakened order: found by a run, or known to be redundant and found by none."""
    start = time.monotonic()
    name = f"{site.key}={order}"
    if not runs:
        return Check("order", name, False, 0.0, "no suite comes by: see UNREACHED in suites.py")
    found = undecided = None
    for run in runs:
        outcome = execute(programs[run.area], run, "--weaken", name, seconds=MUTANT_S)
        if outcome.found:
            found = f"{run.name}: {outcome.result}"
            break
        if outcome.status == OUT_OF_TIME:
            undecided = run.name
    seconds = time.monotonic() - start
    if found is not None:
        stale = "" if why is None else ", but is said to be redundant"
        return Check("order", name, why is None, seconds, found + stale)
    if undecided is not None:
        return Check("order", name, False, seconds, f"{undecided}: OUT OF TIME")
    if why is None:
        return Check("order", name, False, seconds, "no suite fails by it")
    return Check("order", name, True, seconds, f"redundant: {why}")


def plan_orders(
    areas: Iterable[str],
    source: Path,
    reached: dict[str, list[Run]],
    programs: dict[str, Path],
    redundant: bool,
) -> list[Callable[[], Check]]:
    files = sorted({file for area in areas for file in AREAS[area].files})
    sites = [site for file in files for site in sites_of(source, file)]
    known = {site.key for site in sites}
    names = {Path(file).name for file in files}
    plan: list[Callable[[], Check]] = []
    for key in reached:
        file, _, op = key.split(":")
        if file in names and key not in known and not re.search("_relaxed_|relax$", op):
            raise ModelError(f"a suite came by {key}, which was not seen in the source")
    used = set()
    for site in sites:
        reasons = [one for one in REDUNDANT if one.file == site.file and one.code in site.text]
        skipped = [one for one in UNREACHED if one.file == site.file and one.code in site.text]
        used.update(id(one) for one in (*reasons, *skipped))
        for order in site.weaker:
            why = next((one.why for one in reasons if order in one.to), None)
            if order != "relaxed" and any({order, "relaxed"} <= set(one.to) for one in reasons):
                continue  # what does not fail by relaxed does not fail by more
            # First by the suites that are there for the file; and by no others if none will fail.
            runs = reached.get(site.key, [])
            own = [run for run in runs if site.file in AREAS[run.area].files]
            others = [run for run in runs if site.file not in AREAS[run.area].files]
            runs = own if why is not None and own else own + others
            first = [
                suite for file, code, suite in FIRST if file == site.file and code in site.text
            ]
            runs = sorted(runs, key=lambda run: run.suite not in first)
            note = f"not reached: {skipped[0].why}" if skipped and not runs else ""
            reason = "no suite comes by"
            if why is not None and runs and not redundant:  # every suite has to find nothing
                reason = "not tried without --redundant"
                note = f"{reason}: {why}"
            if note:
                check = Check("order", f"{site.key}={order}", True, 0.0, note, not_tried=reason)
                plan.append(lambda check=check: check)
                continue
            plan.append(
                lambda site=site, order=order, runs=runs, why=why: check_order(
                    site, order, runs, programs, why
                )
            )
    for one in (*REDUNDANT, *UNREACHED):
        if one.file in files and id(one) not in used:
            note = f"suites.py names what is no longer there: {one.code}"
            plan.append(lambda one=one, note=note: Check("order", one.file, False, 0.0, note))
    return plan


# ---- Spin ----


def check_spin(model: SpinModel, plant: str | None, folder: Path, depth: str) -> Check:
    """A model holds; with a plant in it (a macro) it does not."""
    start = time.monotonic()
    name = model.name if plant is None else f"{model.name} {plant}"
    folder.mkdir(parents=True, exist_ok=True)
    macros = [f"-D{macro}" for macro in (*model.macros(depth), *([plant] if plant else []))]

    def step(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ModelError(f"{command[0]}: {(done.stdout + done.stderr).strip()[:300]}")
        return done.stdout

    try:
        step("spin", "-a", *macros, HERE / "spin" / model.file)
        options = ["-DMEMLIM=6000", "-DSAFETY", "-DCOLLAPSE"]
        step("gcc", "-O1", "-w", *options, "pan.c", "-o", "pan")
        said = step("./pan", "-m1000000", "-n")
    except ModelError as error:
        return Check("spin", name, False, time.monotonic() - start, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - start
    errors = re.search(r"errors: (\d+)", said)
    states = re.search(r"(\d+(?:\.\d+e\+\d+)?) states, stored", said)
    cut = "max search depth too small" in said or "out of memory" in said
    first = re.search(r"pan:1: (.*)", said)
    if errors is None or states is None:
        return Check("spin", name, False, seconds, said.strip()[:200])
    if plant is not None:
        note = first[1] if first is not None else "not found"
        by = f"Spin, `{model.file}`"
        return Check("spin", name, int(errors[1]) > 0, seconds, note, by)
    passed = int(errors[1]) == 0 and not cut and float(states[1]) > 0
    note = f"{float(states[1]):.0f} states" if passed else (first[1] if first else "search cut")
    return Check("spin", name, passed, seconds, note)


# ---- the page ----


def bugs() -> dict[str, str]:
    """What the page lists: the names of the checks that are there for a bug, and the bugs."""
    spin = {
        f"{model.name} {macro}": bug for model in SPIN_MODELS for macro, bug in model.plants.items()
    }
    return {**{plant.name: plant.bug for plant in PLANTS}, **spin}


def write_page(checks: list[Check]) -> None:
    lines = [BEGIN, "", "| plant | bug | caught by | seconds |", "|---|---|---|---|"]
    done = {one.name: one for one in checks if one.by and one.passed}
    for name, bug in bugs().items():
        by, seconds = (done[name].by, f"{done[name].seconds:.1f}") if name in done else ("", "")
        lines.append(f"| `{name}` | {bug} | {by} | {seconds} |")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + "\n".join([*lines, "", END]) + rest.partition(END)[2])


def check_page() -> Check:
    text = PAGE.read_text() if PAGE.exists() else ""
    listed = re.findall(
        r"^\| `([^`]+)` \|", text.partition(BEGIN)[2].partition(END)[0], re.MULTILINE
    )
    same = listed == list(bugs())
    note = "docs/verification.md does not list the plants of the models: run with --markdown"
    return Check("docs", PAGE.name, same, 0.0, "lists every plant" if same else note)


# ---- all of it ----


class Report:
    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.console = Console() if Console is not None else None

    def do(self, title: str, work: list[Callable[[], Check]], jobs: int) -> None:
        """Longest known first would be better still; the order given is kept."""
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(one) for one in work]
            if self.console is not None and self.console.is_terminal:
                with Progress(console=self.console, transient=True) as progress:
                    task = progress.add_task(title, total=len(work))
                    for _ in concurrent.futures.as_completed(futures):
                        progress.advance(task)
            self.checks += [future.result() for future in futures]

    @property
    def failed(self) -> int:
        return sum(not one.passed for one in self.checks)

    @property
    def skipped(self) -> int:
        return sum(bool(one.not_tried) for one in self.checks)

    def print(self) -> None:
        if self.console is not None:
            table = Table("kind", "check", "", "seconds", "")
            for one in self.checks:
                colour = {"ok": "green", "skipped": "yellow"}.get(one.verdict, "red")
                verdict = f"[{colour}]{one.verdict}[/]"
                table.add_row(one.kind, one.name, verdict, f"{one.seconds:.1f}", one.note)
            self.console.print(table)
        else:
            for one in self.checks:
                print(f"{one.verdict:7} {one.kind:5} {one.name}  {one.seconds:.1f} s  {one.note}")
        counts = Counter(one.kind for one in self.checks)
        print(
            f"{counts['suite']} runs of suites, {counts['plant']} planted bugs, "
            f"{counts['order']} weakened orders, {self.skipped} of them not tried, "
            f"{counts['spin']} runs of Spin"
        )

    def junit(self, file: Path) -> None:
        suite = ElementTree.Element("testsuite", name="models")
        for one in self.checks:
            case = ElementTree.SubElement(
                suite, "testcase", classname=one.kind, name=one.name, time=f"{one.seconds:.2f}"
            )
            if one.not_tried:
                ElementTree.SubElement(case, "skipped", message=one.not_tried)
            elif not one.passed:
                ElementTree.SubElement(case, "failure", message=one.note)
        suite.set("tests", str(len(self.checks)))
        suite.set("failures", str(self.failed))
        suite.set("skipped", str(self.skipped))
        ElementTree.ElementTree(suite).write(file, encoding="unicode", xml_declaration=True)


def relacy_checks(
    report: Report, areas: list[str], depth: str, redundant: bool, folder: Path, jobs: int
) -> None:
    """`depth` may be "plants" as well: these alone."""
    tested = [] if depth == "plants" else areas
    programs = {area: folder / area for area in tested}
    # What is compiled and what is read are the same, whoever writes meanwhile.
    source = folder / "source"
    copy_sources(ROOT, source)
    compile_prefix(folder, source)
    compile_cxx(source, "-O2", "-c", HERE / "engine.cpp", "-o", folder / "engine.o")
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(
            pool.map(lambda one: compile_harness(AREAS[one], source, programs[one], folder), tested)
        )
    outcomes: dict[Run, Outcome] = {}
    limit = 24 * 3600 if depth == "soak" else 300

    def suite(run: Run) -> Check:
        check, outcomes[run] = check_suite(programs[run.area], run, limit)
        return check

    for area in tested:
        listed = subprocess.run(
            [programs[area], "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        if sorted(listed) != sorted(AREAS[area].suites):
            raise ModelError(f"{area}: suites.py and the harness name other suites: {listed}")
    runs = [
        run
        for area in tested
        for name, one in AREAS[area].suites.items()
        for run in runs_of(area, name, one, depth)
    ]
    report.do("suites", [lambda run=run: suite(run) for run in runs], jobs)
    report.do(
        "planted bugs",
        [
            lambda plant=plant: check_plant(plant, source, folder)
            for plant in PLANTS
            if plant.area in areas
        ],
        jobs,
    )
    if depth in ("plants", "quick"):
        return
    # A site's mutants are run by the suites that come by it, the quickest first.
    reached: dict[str, list[Run]] = {}
    spent: dict[tuple[str, str], float] = {}
    seen: dict[tuple[str, str], set[str]] = {}
    for run, outcome in outcomes.items():
        key = (run.area, run.suite)
        spent[key] = spent.get(key, 0.0) + outcome.seconds
        seen.setdefault(key, set()).update(outcome.sites)
    for area, name in sorted(spent, key=lambda one: spent[one]):
        for site in seen[area, name]:
            reached.setdefault(site, []).extend(
                runs_of(area, name, AREAS[area].suites[name], "mutant")
            )
    report.do("weakened orders", plan_orders(areas, source, reached, programs, redundant), jobs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write a JUnit report")
    parser.add_argument("--quick", action="store_true", help="shallow, without weakened orders")
    parser.add_argument("--soak", action="store_true", help="deeper, without a limit of time")
    parser.add_argument(
        "--redundant", action="store_true", help="also try what may be weaker (as --soak does)"
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="X",
        choices=[*AREAS, "spin"],
        help=f"one of {', '.join((*AREAS, 'spin'))}; may be given again",
    )
    parser.add_argument("--plants", action="store_true", help="the planted bugs alone")
    parser.add_argument(
        "--markdown", action="store_true", help="write the table of docs/verification.md"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "model", help="folder")
    arguments = parser.parse_args()
    if arguments.markdown and arguments.only:
        parser.error("--markdown takes a whole run")
    depths = ("plants", "soak", "quick")
    depth = next((one for one in depths if getattr(arguments, one)), "verify")
    chosen = arguments.only or [*AREAS, "spin"]
    folder = arguments.build.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    areas = [area for area in AREAS if area in chosen]
    try:
        redundant = arguments.redundant or arguments.soak
        relacy_checks(report, areas, depth, redundant, folder, arguments.jobs)
        if "spin" in chosen:
            sound = () if depth == "plants" else (None,)
            spin = [(model, plant) for model in SPIN_MODELS for plant in (*sound, *model.plants)]
            report.do(
                "Spin",
                [
                    lambda model=model, plant=plant: check_spin(
                        model, plant, folder / "spin" / f"{model.name}-{plant}", depth
                    )
                    for model, plant in spin
                ],
                arguments.jobs,
            )
    except ModelError as error:
        report.checks.append(Check("suite", "models", False, 0.0, str(error)))
    if not arguments.only:
        if arguments.markdown:
            write_page(report.checks)
        report.checks.append(check_page())
    report.print()
    if arguments.junit is not None:
        report.junit(arguments.junit)
    for one in report.checks:
        if not one.passed:
            print(f"FAILED: {one.kind} {one.name}: {one.note}")
    passed = len(report.checks) - report.failed - report.skipped
    print(f"{passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.checks else 0


if __name__ == "__main__":
    sys.exit(main())
