# SPDX-License-Identifier: BSD-2-Clause
"""python -m latchwork: the demo, and what is installed."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import sysconfig

import latchwork


def _interpreter_kind() -> str:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "GIL"
    enabled = sys._is_gil_enabled()  # type: ignore[attr-defined, unused-ignore]
    return "free-threaded, GIL switched on" if enabled else "free-threaded"


def _info(as_json: bool) -> int:
    facts = {
        "version": latchwork.__version__,
        "abi": latchwork.ABI_VERSION,
        "python": platform.python_version(),
        "kind": _interpreter_kind(),
        "include": latchwork.get_include(),
        "sources": latchwork.get_sources(),
        "cmake": latchwork.get_cmake_dir(),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        print(f"{name:<8} {' '.join(value) if isinstance(value, list) else value}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["demo"]:  # has a parser of its own
        from latchwork import demo

        return demo.main(argv[1:])
    parser = argparse.ArgumentParser(prog="python -m latchwork")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="say what is installed, and where")
    info.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("demo", help="index the identifiers in a tree of source files")
    options = parser.parse_args(argv)
    return _info(options.json)


if __name__ == "__main__":
    sys.exit(main())
