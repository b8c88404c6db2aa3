"""Everything from a fresh clone to environments with the package built in them.

Each part leaves a stamp that names its inputs, so that nothing is done twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import apt, cpython_build, interpreters
from .common import (
    BUILD,
    ROOT,
    Progress,
    ToolError,
    cache_dir,
    cores,
    file_lock,
    reason,
    report_errors,
    run_logged,
    say,
)
from .interpreters import FREE_THREADED, GIL, Interpreter

VENVS = BUILD / "venv"
TOOLS_PYTHON = VENVS / "tools" / "bin" / "python"

# What the package is built from, and what is built with it for the demo.
PACKAGE_INPUTS = [
    "CMakeLists.txt",
    "pyproject.toml",
    "README.md",
    "cmake",
    "include",
    "src",
    "pyext",
]
DEMO_EXAMPLE = "examples/wordindex"

APT_PURPOSES = {
    "demo": ["build"],
    "test": ["build", "lint", "verification"],
    "verify": ["build", "lint", "verification", "interpreter-tsan"],
    "bench": ["build", "peers"],
    "all": ["build", "lint", "verification", "interpreter-tsan", "peers"],
}


def digest(paths: Iterable[str], *words: str) -> str:
    """One hash over the named files and folders and over some words."""
    result = hashlib.sha256()
    for word in words:
        result.update(word.encode() + b"\0")
    for name in paths:
        top = ROOT / name
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                result.update(str(file.relative_to(ROOT)).encode() + b"\0")
                result.update(hashlib.sha256(file.read_bytes()).digest())
    return result.hexdigest()


class Environment:
    """A virtual environment under build/venv, with a stamp for each part that is in it."""

    def __init__(self, tag: str, base: Sequence[str], identity: str) -> None:
        self.tag = tag
        self.base = list(base)
        self.identity = identity
        self.folder = VENVS / tag
        self.python = self.folder / "bin" / "python"
        self.log = BUILD / "logs" / f"setup-{tag}.log"

    def _stamp_file(self) -> Path:
        return self.folder / "stamps.json"

    def _stamps(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._stamp_file().read_text()))
        except (OSError, ValueError):
            return {}

    def is_done(self, part: str, stamp: str) -> bool:
        return self._stamps().get(part) == stamp and self.python.exists()

    def mark(self, part: str, stamp: str | None) -> None:
        stamps = self._stamps()
        stamps.pop(part, None)
        if stamp is not None:
            stamps[part] = stamp
        self._stamp_file().write_text(json.dumps(stamps, indent=2) + "\n")

    def run(
        self,
        command: Sequence[str | Path],
        progress: Progress,
        failure: str,
        env: dict[str, str] | None = None,
    ) -> None:
        environment = dict(os.environ)
        for variable in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS"):
            environment.pop(variable, None)
        environment |= {"CMAKE_BUILD_PARALLEL_LEVEL": str(cores()), **(env or {})}
        if run_logged(command, self.log, progress, cwd=ROOT, env=environment) != 0:
            progress.done("failed")
            raise ToolError(f"{failure}: {reason(self.log)} (log: {self.log})")

    def pip(self, *words: str | Path) -> list[str | Path]:
        return [
            *self.base[:-1], self.python, "-m", "pip", "--disable-pip-version-check",
            "install", *words,
        ]  # fmt: skip

    def ensure(self, packages: Sequence[str]) -> None:
        stamp = digest([], self.identity, *packages)
        if self.is_done("packages", stamp):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        progress = Progress(f"build/venv/{self.tag}")
        progress.tick("create")
        self.run([*self.base, "-m", "venv", self.folder], progress, "cannot create the environment")
        progress.tick(f"install {' '.join(packages)}")
        # Only wheels: a source package may ask for a tool chain (Rust) that is not here, and pip
        # then takes the newest version that has a wheel for this interpreter.
        self.run(
            self.pip("--only-binary", ":all:", *packages), progress, "cannot install from PyPI"
        )
        self.mark("packages", stamp)
        progress.done(f"created from {self.base[-1]}, {len(packages)} packages from PyPI")

    def build(self, part: str, inputs: Sequence[str], words: Sequence[str], **env: str) -> None:
        """Build one of this checkout's own packages, if its inputs changed."""
        stamp = digest(inputs, self.identity, *words, *env.values())
        if self.is_done(part, stamp):
            return
        self.log.unlink(missing_ok=True)
        self.mark(part, None)
        progress = Progress(f"build/venv/{self.tag}")
        progress.tick(f"build {part}")
        self.run(
            # The back end is in the environment already; the project's own headers, which an
            # example needs, can come from nowhere else.
            self.pip("--no-build-isolation", "--no-deps", "--force-reinstall", *words),
            progress,
            f"cannot build {part} for {self.tag}",
            env,
        )
        self.mark(part, stamp)
        progress.done(f"built {part}")


def environment_of(one: Interpreter) -> Environment:
    base = [*cpython_build.fixed_addresses(), one.path] if one.tsan else [one.path]
    status = os.stat(one.path)
    return Environment(one.tag, base, f"{one.path} {one.version} {status.st_mtime_ns}")


def wheel_folder(one: Interpreter) -> Path:
    """Where the package is compiled, so that a second build compiles only what changed."""
    return BUILD / "wheel" / one.tag


def ensure_environment(one: Interpreter) -> Environment:
    environment = environment_of(one)
    lists = apt.package_lists()["pip"]
    options = ["-Ccmake.define.CMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    env: dict[str, str] = {}
    if one.tsan:
        environment.ensure(lists["interpreter-tsan"])
        options += ["-Ccmake.define.LATCHWORK_ATOMIC=tsan", "-Ccmake.build-type=RelWithDebInfo"]
        flags = "-fsanitize=thread -fno-omit-frame-pointer"
        env = {"CC": "clang-14", "CXX": "clang++-14", "CFLAGS": flags, "CXXFLAGS": flags}
        env["TSAN_OPTIONS"] = "report_bugs=0"
    else:
        environment.ensure(lists["interpreter"])
    environment.build(
        "latchwork", PACKAGE_INPUTS, [f"-Cbuild-dir={wheel_folder(one)}", *options, "."], **env
    )
    environment.build(
        DEMO_EXAMPLE, [*PACKAGE_INPUTS, DEMO_EXAMPLE], [str(ROOT / DEMO_EXAMPLE)], **env
    )
    return environment


def ensure_tools() -> None:
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    environment = Environment("tools", [base], f"{base} {sys.version}")
    environment.ensure(apt.package_lists()["pip"]["tools"])


def demo_pair(found: list[Interpreter]) -> list[Interpreter]:
    """The newest free-threaded build, and the GIL build that is nearest to it."""
    usable = [one for one in found if one.chosen]
    free = [one for one in usable if one.kind == FREE_THREADED]
    gil = [one for one in usable if one.kind == GIL]
    if not free or not gil:
        return [*gil[-1:], *free[-1:]]
    same = [one for one in gil if one.minor == free[-1].minor]
    return [(same or gil)[-1], free[-1]]


def require_both_kinds(found: list[Interpreter]) -> None:
    for kind in (GIL, FREE_THREADED):
        if not any(one.chosen and one.kind == kind for one in found):
            raise ToolError(
                f"no {kind} CPython 3.11 or later is here (tools/interpreters lists all)"
            )
    for one in found:
        if one.chosen and not one.headers:
            raise ToolError(f"{one.path} has no Python.h; install its development package")


def run_setup(purpose: str) -> None:
    start = time.monotonic()
    apt.ensure(APT_PURPOSES[purpose])
    interpreters.ensure(tsan=purpose in ("verify", "all"))
    found = interpreters.find()
    require_both_kinds(found)
    with file_lock(VENVS / ".lock", "Another set-up is under way in this checkout; waiting."):
        ensure_tools()
        wanted = demo_pair(found) if purpose in ("demo", "bench") else interpreters.chosen(found)
        if purpose in ("verify", "all"):
            wanted = [*wanted, *[one for one in found if one.tsan][-1:]]
        for one in wanted:
            ensure_environment(one)
    names = ", ".join(f"{one.version} {one.kind}{' TSan' if one.tsan else ''}" for one in wanted)
    say(
        f"Set up in {time.monotonic() - start:.1f} s: {names}; environments in build/venv, "
        f"interpreters that this project built in {cache_dir()}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/setup",
        description="Install what is missing, and build the package for each interpreter: Debian "
        "packages (system-wide, with apt), a free-threaded CPython (in the user's cache), virtual "
        "environments (in build/venv). What is there already is left alone.",
    )
    parser.add_argument(
        "--for", dest="purpose", choices=sorted(APT_PURPOSES), default="all", help="default: all"
    )
    arguments = parser.parse_args()

    def work() -> int:
        run_setup(arguments.purpose)
        return 0

    return report_errors(work)
