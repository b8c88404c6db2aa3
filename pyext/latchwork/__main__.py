# SPDX-License-Identifier: BSD-2-Clause
"""python -m latchwork: the demo, and what is installed."""

from __future__ import annotations

import sys


def _interpreter_kind() -> str:
    import sysconfig

    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "GIL"
    enabled = sys._is_gil_enabled()  # type: ignore[attr-defined, unused-ignore]
    return "free-threaded, GIL switched on" if enabled else "free-threaded"


def _info(as_json: bool) -> str:
    import json
    import platform

    import latchwork

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
        return json.dumps(facts, indent=2)
    return "\n".join(
        f"{name:<8} {' '.join(value) if isinstance(value, list) else value}"
        for name, value in facts.items()
    )


def _run(argv: list[str]) -> int:
    if argv[:1] == ["demo"]:  # has a parser of its own
        from latchwork import demo

        return demo.main(argv[1:])
    from latchwork._command import OutputError, Parser, complain, standard_output

    parser = Parser(prog="python -m latchwork")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="say what is installed, and where")
    info.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("demo", help="index the identifiers in a tree of source files")
    try:
        options = parser.parse_args(argv)
        with standard_output():
            print(_info(options.json))
    except OutputError as error:
        complain(f"latchwork: {error}")
        return 1
    except BrokenPipeError:  # nobody reads on
        return 1
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status."""
    # Most of the start are imports. They are made in here, where Ctrl-C is no traceback.
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        print("latchwork: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
