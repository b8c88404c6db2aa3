"""Runs the steps of a group, shows what each found, and closes with one line of counts."""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import interpreters, setup, steps
from .common import BUILD, INTERRUPTED, ROOT, ToolError, clock, cores, report_errors, say
from .interpreters import FREE_THREADED, GIL, Interpreter
from .results import Outcome

if TYPE_CHECKING:
    from rich.console import Console

GROUPS = {
    "test": steps.test_steps,
    "verify": steps.verify_steps,
    "lint": steps.lint_steps,
    "cross": steps.cross_steps,
}
# Groups that look at no interpreter.
WITHOUT_INTERPRETERS = ("lint", "cross")
SHOWN_FAILURES = 20
SHOWN_LOG_LINES = 40


@dataclass
class Finished:
    name: str
    outcome: Outcome
    seconds: float
    log: Path


def result_file(group: str) -> Path:
    return BUILD / "results" / f"{group}.json"


def run_step(step: steps.Step, found: list[Interpreter]) -> Finished:
    context = steps.Context(step.name, step.limit_s, found)
    start = time.monotonic()
    try:
        outcome = step.work(context)
    except ToolError as error:
        outcome = Outcome()
        outcome.fail(str(error))
    except Exception as error:  # an error of a step counts as its failure; the others still run
        with context.log.open("a") as log:
            traceback.print_exc(file=log)
        outcome = Outcome()
        outcome.fail(f"{type(error).__name__}: {error}")
    if not outcome.passed and not outcome.failed and not outcome.not_run:
        outcome.fail("ran no check")
    return Finished(step.name, outcome, time.monotonic() - start, context.log)


def missing_kinds(found: list[Interpreter]) -> list[str]:
    return [
        kind
        for kind in (GIL, FREE_THREADED)
        if not any(one.chosen and one.kind == kind for one in found)
    ]


def shortened(failures: list[str]) -> list[str]:
    left = len(failures) - SHOWN_FAILURES
    return [*failures[:SHOWN_FAILURES], *([f"and {left} more"] if left > 0 else [])]


def show_failure(console: Console, one: Finished) -> None:
    for failure in shortened(one.outcome.failures):
        console.print(f"    {failure}", markup=False, highlight=False, soft_wrap=True)
    try:
        lines = one.log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    console.print(f"    the end of {one.log.relative_to(ROOT)}:", highlight=False)
    for line in lines[-SHOWN_LOG_LINES:]:
        console.print(f"    | {line}", markup=False, highlight=False, soft_wrap=True)


def show_table(console: Console, group: str, finished: list[Finished]) -> None:
    from rich.table import Table

    table = Table(title=f"make {group}", title_justify="left")
    for name, justify in (
        ("step", "left"),
        ("passed", "right"),
        ("failed", "right"),
        ("skipped", "right"),
        ("time", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for one in finished:
        table.add_row(
            one.name,
            str(one.outcome.passed),
            str(one.outcome.failed),
            str(one.outcome.skips.total() or ""),
            clock(one.seconds),
            "not run" if one.outcome.not_run else one.outcome.note,
            style="red" if one.outcome.failed else None,
        )
    console.print(table)
    for one in finished:
        if one.outcome.not_run:
            console.print(f"{one.name} was not run: {one.outcome.not_run}", markup=False)
        for reason, number in one.outcome.skips.items():
            names = ", ".join(one.outcome.left_out.get(reason, []))
            text = f"skipped in {one.name}: {number} x {reason}{f': {names}' if names else ''}"
            console.print(text, markup=False, highlight=False)


def say_failures(step: str, failures: list[str]) -> None:
    """Once more at the end, where somebody who has only the last lines of a log can see them."""
    for failure in shortened(failures):
        say(f"FAILED in {step}: {failure}")


def show(console: Console, title: str, one: Finished) -> None:
    outcome = one.outcome
    verdict = "FAILED" if outcome.failed else "not run" if outcome.not_run else "ok"
    counts = f"{outcome.passed} passed, {outcome.failed} failed in {clock(one.seconds)}"
    console.print(
        f"{title}: {verdict}, {counts}{f' ({outcome.note})' if outcome.note else ''}",
        markup=False,
        highlight=False,
        style="red" if outcome.failed else None,
    )
    if outcome.failed:
        show_failure(console, one)


def run_and_show(
    console: Console, titled: list[tuple[str, steps.Step]], found: list[Interpreter]
) -> list[Finished]:
    """Run steps beside each other; each is shown when it ends. One more than there are cores: they
    wait for a good part of their time."""
    titles = [title for title, _ in titled]

    def run(title: str, step: steps.Step) -> Finished:
        if not sys.stdout.isatty():
            say(f"{title} ...")
        return run_step(step, found)

    shown = ", ".join(titles[:2]) + (" and more" if len(titles) > 2 else "")
    finished: dict[str, Finished] = {}
    with console.status(shown), concurrent.futures.ThreadPoolExecutor(cores() + 1) as pool:
        waiting = {pool.submit(run, title, step): title for title, step in titled}
        try:
            for future in concurrent.futures.as_completed(waiting):
                title = waiting[future]
                finished[title] = future.result()
                show(console, title, finished[title])
        except KeyboardInterrupt:
            INTERRUPTED.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [finished[title] for title in titles]


def batches(
    todo: list[steps.Step],
) -> Iterator[list[tuple[str, steps.Step]]]:
    """The steps with their titles: neighbours that may run beside each other together."""
    titled = [(f"[{number}/{len(todo)}] {step.name}", step) for number, step in enumerate(todo, 1)]
    for beside, group in itertools.groupby(titled, lambda pair: pair[1].beside):
        if beside:
            yield list(group)
        else:
            yield from ([pair] for pair in group)


def soak(rounds: int | None) -> int:
    """Rounds of stress until one fails, all are done, or Ctrl-C."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    found = interpreters.find()
    passed = failed = 0
    try:
        for number in itertools.count(1):
            seed = secrets.randbits(63) | 1
            say(f"Round {number}, seed {seed}")
            for step in steps.soak_steps(found, seed, number):
                (one,) = run_and_show(console, [(f"[{number}] {step.name}", step)], found)
                passed += one.outcome.passed
                failed += one.outcome.failed
            if failed or number == rounds:
                break
    except KeyboardInterrupt:
        say("\ninterrupted; what was done until now:")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def say_interpreters(todo: list[steps.Step], found: list[Interpreter], missing: list[str]) -> None:
    ran = {one.path: one for step in todo if (one := step.interpreter)}
    say(f"Interpreters that ran: {', '.join(one.name for one in ran.values()) or 'none'}")
    unused = [one.name for one in found if one.path not in ran]
    if unused:
        say(f"Found, but not used here: {', '.join(unused)}")
    here = {(one.minor, one.kind) for one in found}
    absent = [f"{minor} {kind}" for minor, kind in interpreters.SUPPORTED]
    absent = [name for name in absent if tuple(name.split(" ", 1)) not in here]
    if absent:
        say(f"Supported, but not on this machine: {', '.join(absent)}")
    for kind in missing:
        say(f"Not here: any {kind} CPython; that is a failure")


def run_group(group: str, only: list[str]) -> int:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    found = interpreters.find()
    todo = GROUPS[group](found)
    if only:
        unknown = set(only) - {step.name for step in todo}
        if unknown:
            raise ToolError(
                f"no step {', '.join(sorted(unknown))} in {group}; "
                f"there are: {' '.join(step.name for step in todo)}"
            )
        todo = [step for step in todo if step.name in only]
    result_file(group).unlink(missing_ok=True)
    if group != "cross":
        say(interpreters.table(found))
    start = time.monotonic()
    finished: list[Finished] = []
    for batch in batches(todo):
        finished += run_and_show(console, batch, found)
    show_table(console, group, finished)
    missing = [] if group in WITHOUT_INTERPRETERS else missing_kinds(found)
    if group != "cross":
        say_interpreters(todo, found, missing)
    passed = sum(one.outcome.passed for one in finished)
    failed = sum(one.outcome.failed for one in finished) + len(missing)
    seconds = time.monotonic() - start
    result_file(group).parent.mkdir(parents=True, exist_ok=True)
    result_file(group).write_text(
        json.dumps(
            {
                "group": group,
                "passed": passed,
                "failed": failed,
                "seconds": round(seconds, 1),
                "interpreters": [asdict(one) for one in found],
                "steps": [
                    {
                        "name": one.name,
                        "seconds": round(one.seconds, 1),
                        "passed": one.outcome.passed,
                        "failed": one.outcome.failed,
                        "skipped": dict(one.outcome.skips),
                        "failures": one.outcome.failures,
                        "not_run": one.outcome.not_run,
                        "note": one.outcome.note,
                    }
                    for one in finished
                ],
            },
            indent=2,
        )
        + "\n"
    )
    for one in finished:
        say_failures(one.name, one.outcome.failures)
    say(f"make {group} took {clock(seconds)}")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def sum_groups(groups: list[str]) -> int:
    """The closing line over several groups; one that left no result is a failure."""
    passed = failed = 0
    for group in groups:
        try:
            result = json.loads(result_file(group).read_text())
        except (OSError, ValueError):
            say(f"make {group}: no result")
            failed += 1
            continue
        say(f"make {group}: {result['passed']} passed, {result['failed']} failed")
        for step in result["steps"]:
            say_failures(step["name"], step["failures"])
        passed += result["passed"]
        failed += result["failed"]
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/run_tests",
        description="Run the steps of a group, or some of them. Needs tools/setup to have run.",
    )
    parser.add_argument("group", choices=[*GROUPS, "soak", "sum"])
    parser.add_argument(
        "names", nargs="*", help="steps of the group (default: all); for sum, the groups"
    )
    parser.add_argument("--list", action="store_true", help="name the steps of the group")
    parser.add_argument("--rounds", type=int, help="of soak (default: until one fails)")
    arguments = parser.parse_args()
    if arguments.list and arguments.group not in GROUPS:
        parser.error(f"--list goes with {' or '.join(GROUPS)}")

    def work() -> int:
        if arguments.group == "sum":
            return sum_groups(arguments.names)
        if arguments.list:
            for step in GROUPS[arguments.group](interpreters.find()):
                say(f"{step.name} (at most {clock(step.limit_s)})")
            return 0
        if arguments.group == "soak":
            return soak(arguments.rounds)
        if not setup.TOOLS_PYTHON.exists():
            raise ToolError("the tools' environment is not there; run `make setup` first")
        return run_group(arguments.group, arguments.names)

    return report_errors(work)
