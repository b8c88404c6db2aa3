"""What the benchmarks use of tools/, and the interpreters that they run on where nobody names any.

Run as a program, it prints one interpreter of each kind, for CMake.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from lwtools import interpreters, setup
from lwtools.common import BUILD, ROOT, ToolError, cores, reason, report_errors, run_logged

__all__ = [
    "BUILD",
    "ROOT",
    "ToolError",
    "cores",
    "environments",
    "reason",
    "report_errors",
    "run_logged",
]


def pair() -> list[interpreters.Interpreter]:
    return setup.demo_pair(interpreters.find())


def environments() -> list[Path]:
    """Virtual environments with the package, which tools/setup makes."""
    return [setup.environment_of(one).python for one in pair()]


if __name__ == "__main__":
    print("\n".join(one.path for one in pair()))
