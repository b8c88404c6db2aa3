"""Pairs of ours and a peer's, their goals, and the tables that show them."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inside import OURS, PEERS_ONLY
from measure import Case, Results
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tooling import ToolError


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


class Goals:
    def __init__(self, file: Path) -> None:
        read = tomllib.loads(file.read_text())
        self.default: float = read["default"]
        self.entries: list[dict[str, object]] = read["goal"]

    def of(self, case: Case, peer: str) -> tuple[float | None, float]:
        """The ratio at most, None if there is no goal, and Jain's index at least."""
        facts = {"area": case.area, "row": case.row, "peer": peer, "kind": case.python.kind}
        for entry in self.entries:
            if all(fnmatch.fnmatchcase(facts[k], str(entry.get(k, "*"))) for k in facts):
                at_most = float(str(entry["at_most"])) if "at_most" in entry else None
                return at_most, float(str(entry.get("jain_percent", 0)))
        return self.default, 0


def compare(results: Results, goals: Goals) -> Iterator[Row]:
    for case, impls in results.items():
        if case.area in PEERS_ONLY:
            continue
        if OURS not in impls or len(impls) < 2:
            raise ToolError(f"{case.area}: {case.text}: only {', '.join(impls)}")
        ours = impls[OURS].ns
        for peer, result in sorted(impls.items(), key=lambda item: item[1].ns):
            if peer != OURS:
                goal, jain = goals.of(case, peer)
                ratio = ours / result.ns
                fair = jain == 0 or impls[OURS].counters["jain_percent"] >= jain
                yield Row(
                    area=case.area,
                    row=case.text,
                    ours_ns=round(ours, 3),
                    peer=peer,
                    peer_ns=round(result.ns, 3),
                    ratio=round(ratio, 3),
                    goal=goal,
                    met=None if goal is None else ratio <= goal and fair,
                )


def verdict(row: Row) -> str:
    if row.goal is None:
        return ""
    if row.met:
        return "[green]met[/green]"
    # Less: a ratio that misses the goal by less than is shown is rounded to it.
    return "[red]unfair[/red]" if row.ratio < row.goal else "[red]missed[/red]"


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
                    verdict(row),
                )
        console.print(table)
    aimed = [row.met for row in rows if row.met is not None]
    console.print(f"{sum(aimed)} of {len(aimed)} goals met; {len(rows)} pairs")


def show_peers(console: Console, results: Results) -> None:
    alone = {case: impls for case, impls in results.items() if case.area in PEERS_ONLY}
    if not alone:
        return
    table = Table(title="peers alone: ns an operation", title_justify="left")
    table.add_column("row and peers")
    table.add_column("ns", justify="right")
    for case, impls in alone.items():
        table.add_section()
        table.add_row(f"[bold]{escape(f'{case.area}: {case.text}')}[/bold]")
        for peer, result in sorted(impls.items(), key=lambda item: item[1].ns):
            table.add_row(f"  {peer}", f"{result.ns:.2f}")
    console.print(table)


def show_counters(console: Console, results: Results) -> None:
    table = Table(title="besides time", title_justify="left")
    table.add_column("figure, row and implementations")
    table.add_column("", justify="right")
    for case, impls in results.items():
        for name in dict.fromkeys(name for one in impls.values() for name in one.counters):
            table.add_section()
            table.add_row(f"[bold]{escape(f'{name}, {case.area}: {case.text}')}[/bold]")
            for impl, result in sorted(impls.items(), key=lambda item: item[1].counters[name]):
                table.add_row(f"  {impl}", f"{result.counters[name]:,.0f}")
    if table.row_count:
        console.print(table)


def markdown(results: Results) -> str:
    """The figures as tables for docs/, one for each area and interpreter."""
    tables: list[str] = []
    for area, python in dict.fromkeys((case.area, case.python) for case in results):
        mine = {
            case: impls
            for case, impls in results.items()
            if (case.area, case.python) == (area, python)
        }
        impls = list(dict.fromkeys(name for one in mine.values() for name in one))
        head = [f"{area}, {python.name}, ns", *impls]
        lines = [" | ".join(head), "|".join(["---", *["---:"] * len(impls)])]
        for case, found in mine.items():
            row = case.text.removesuffix(f" [{python.tag}]")
            figures = [f"{found[name].ns:.1f}" if name in found else "" for name in impls]
            lines.append(" | ".join([row, *figures]))
            for counter in dict.fromkeys(name for one in found.values() for name in one.counters):
                counts = [
                    f"{found[name].counters[counter]:,.0f}" if name in found else ""
                    for name in impls
                ]
                lines.append(" | ".join([f"{counter.replace('_', ' ')} (not ns)", *counts]))
        tables.append("\n".join(f"| {line} |" for line in lines) + "\n")
    return "\n".join(tables)
