"""Compile every header alone, every core source alone and the single unit, as users might.

Nothing is linked or run: each check is one compiler call with -fsyntax-only. A group that checks
nothing fails.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
# Back ends of atomic.h, which includes the one that is asked for; no header of its own for users.
PRIVATE = {"gnu.h", "msvc.h", "noise.h", "relacy.h", "tsan.h"}
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-Werror", "-fsyntax-only", f"-I{INCLUDE}"]


@dataclass
class Check:
    name: str
    command: list[str]
    source: str | None = None  # on standard input

    def run(self) -> str | None:
        """What the compiler said, if it complained."""
        done = subprocess.run(
            self.command, input=self.source, capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and not done.stderr:
            return None
        return f"{' '.join(self.command)}\n{done.stderr or done.returncode}"


def headers(python: bool, suffix: str = "h") -> list[str]:
    names = sorted(path.name for path in (INCLUDE / "latchwork").glob(f"*.{suffix}"))
    return [name for name in names if name not in PRIVATE and (name == "cpython.h") == python]


def including(compiler: str, options: list[str], names: list[str], flags: list[str]) -> Check:
    """Twice, so that the guards are seen to work; an empty unit would not be strict C."""
    lines = "".join(f"#include <latchwork/{name}>\n" for name in names)
    source = 2 * lines + "int main(void) { return 0; }\n"
    command = [compiler, *options, *STRICT, *flags, "-"]
    return Check(f"{' '.join(names)} with {compiler} {' '.join(options)}", command, source)


def alone(compiler: str, options: list[str], name: str, flags: list[str]) -> Check:
    return including(compiler, options, [name], flags)


def c_language(standard: str) -> list[str]:
    return [f"-std={standard}", "-x", "c++" if "++" in standard else "c"]


def header_checks(compiler: str, standards: list[str]) -> Iterator[Check]:
    backs = [["-DLW_ATOMIC_NOISE"], ["-DLW_ATOMIC_TSAN"], ["-DLW_TLS_DEFAULT_MODEL"]]
    if "clang" in compiler:
        backs.append(["-DLW_ATOMIC_MSVC", "-fms-extensions"])
    for standard in standards:
        for name in headers(python=False):
            # The intrinsics' declarations and __thread are extensions; the rest is not.
            yield alone(compiler, c_language(standard), name, ["-pedantic"])
        for back in backs:
            if standard == standards[0] and "++" not in standard:
                for name in headers(python=False):
                    yield alone(compiler, c_language(standard), name, back)
            else:  # what one needs of another is the same in all languages
                yield including(compiler, c_language(standard), headers(python=False), back)
        for name in headers(python=False, suffix="hpp") if "++" in standard else []:
            for flags in ([], ["-fno-exceptions", "-fno-rtti"]):
                yield alone(compiler, c_language(standard), name, ["-pedantic", *flags])


def source_checks(compiler: str, standards: list[str]) -> Iterator[Check]:
    unit = ROOT / "src" / "all.c"
    # `make cross` compiles windows.c.
    others = ("posix.c", "windows.c")
    posix = [ROOT / "src" / "platform" / f"{name}.c" for name in ("posix", "unix", "membarrier")]
    sources = sorted(
        path
        for path in (ROOT / "src").rglob("*.c")
        if path.parent.name != "python" and path.name not in others
    )
    for standard in standards:
        for defines, chosen in (
            ([], sources),
            (["-DLW_PLATFORM_POSIX"], [*posix, unit]),
            (["-DLW_ATOMIC_NOISE"], [unit]),
        ):
            for source in chosen:
                command = [compiler, *c_language(standard), *STRICT, *defines, str(source)]
                name = f"{source.relative_to(ROOT)} with {compiler} {standard} {' '.join(defines)}"
                yield Check(name, command)


def interpreters() -> list[dict[str, str]]:
    listed = subprocess.run(
        [sys.executable, ROOT / "tools" / "interpreters", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    chosen = [one for one in json.loads(listed.stdout) if one["chosen"]]
    for kind in ("GIL", "free-threaded"):
        if not any(one["kind"] == kind for one in chosen):
            sys.exit(f"FAILED: no {kind} interpreter is here (tools/interpreters --ensure)")
    return chosen


def python_checks(compiler: str, standards: list[str]) -> Iterator[Check]:
    for one in interpreters():
        probe = "import sysconfig; print(sysconfig.get_path('include'))"
        include = subprocess.run(
            [one["path"], "-c", probe], capture_output=True, text=True, check=True
        ).stdout.strip()
        # As a system header: CPython's own headers are not ours to keep clean.
        python = ["-isystem", include]
        for standard in standards:
            for name in headers(python=True):
                check = alone(compiler, c_language(standard), name, python)
                check.name += f" for CPython {one['tag']}"
                yield check
            command = [compiler, *c_language(standard), *STRICT, *python, "-DLW_PYTHON"]
            unit = str(ROOT / "src" / "all.c")
            yield Check(
                f"all.c for CPython {one['tag']} with {compiler} {standard}", [*command, unit]
            )


GROUPS = {"headers": header_checks, "sources": source_checks, "python": python_checks}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("compiler", help="a C or C++ compiler")
    parser.add_argument("standards", nargs="+", help="such as c11 or c++17")
    arguments = parser.parse_args()
    checks = list(GROUPS[arguments.group](arguments.compiler, arguments.standards))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for check, complaint in zip(checks, pool.map(Check.run, checks), strict=True):
            if complaint is not None:
                failed += 1
                print(f"FAILED: {check.name}\n{complaint}", file=sys.stderr)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
