"""What a step found: counts and the names of failures, read from the runners' own reports."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    passed: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    # Reason to number; a skip is shown, never silent.
    skips: Counter[str] = field(default_factory=Counter)
    # Reason to names, where a case says by itself that it cannot run on this system.
    left_out: dict[str, list[str]] = field(default_factory=dict)
    # Why nothing was run; empty where something was.
    not_run: str = ""
    note: str = ""

    def fail(self, what: str) -> None:
        self.failed += 1
        self.failures.append(what)

    def check(self, good: bool, what: str) -> None:
        if good:
            self.passed += 1
        else:
            self.fail(what)

    def add(self, other: Outcome) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.failures += other.failures
        self.skips.update(other.skips)
        for reason, names in other.left_out.items():
            self.left_out.setdefault(reason, []).extend(names)


def _first_line(element: ElementTree.Element) -> str:
    text = (element.get("message") or element.text or "").strip()
    return text.splitlines()[0][:160] if text else ""


def _own_reason(case: ElementTree.Element) -> str:
    """What a test that ended with CTest's SKIP_RETURN_CODE printed: "SKIPPED: reason"."""
    for line in (case.findtext("system-out") or "").splitlines():
        if line.startswith("SKIPPED: "):
            return line.removeprefix("SKIPPED: ")
    return "did not say why"


def read_junit(file: Path) -> Outcome:
    """Counts from a JUnit file of CTest, pytest or one of this project's own runners."""
    outcome = Outcome()
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError) as error:
        outcome.fail(f"no readable report {file.name}: {error}")
        return outcome
    for case in root.iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        if case.get("classname") == case.get("name"):
            name = case.get("name") or ""
        broken = [part for part in case if part.tag in ("failure", "error")]
        skipped = case.find("skipped")
        status = case.get("status", "run")
        if broken:
            outcome.fail(f"{name}: {_first_line(broken[0])}".rstrip(": "))
        elif skipped is not None and _first_line(skipped).startswith("SKIP_RETURN_CODE="):
            reason = _own_reason(case)
            outcome.skips[reason] += 1
            outcome.left_out.setdefault(reason, []).append(name)
        elif status in ("fail", "notrun"):
            # CTest reports a test whose program is missing as not run.
            outcome.fail(f"{name}: {status}")
        elif skipped is not None or status == "disabled":
            outcome.skips[_first_line(skipped) if skipped is not None else "disabled"] += 1
        else:
            outcome.passed += 1
    return outcome
