"""Everything from a fresh clone to environments with the package built in them.

Each part leaves a stamp that names its inputs, so that nothing is done twice.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import apt, cpython_build, cross, interpreters
from .common import (
    BUILD,
    INTERRUPTED,
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
    "verify": ["build", "lint", "verification", "interpreter-tsan", "peers"],
    "bench": ["build", "peers"],
    "cross": ["build"],
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

    def __init__(
        self,
        tag: str,
        base: str,
        identity: str,
        installer: Environment | None = None,
        runner: Sequence[str] = (),
    ) -> None:
        self.tag = tag
        self.base = base
        self.identity = identity
        self.installer = installer
        self.runner = runner
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
        if run_logged([*self.runner, *command], self.log, progress, cwd=ROOT, env=environment) != 0:
            progress.done("failed")
            raise ToolError(f"{failure}: {reason(self.log)} (log: {self.log})")

    def pip(self, *words: str | Path) -> list[str | Path]:
        python = self.installer.python if self.installer else self.python
        command = [python, "-m", "pip", "--disable-pip-version-check", "install"]
        if self.installer:
            command += ["--ignore-installed", "--prefix", self.folder]
        return [*command, *words]

    def ensure(self, packages: Sequence[str]) -> None:
        stamp = digest([], self.identity, *packages)
        if self.is_done("packages", stamp):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        progress = Progress(f"build/venv/{self.tag}")
        progress.tick("create")
        options = ["--without-pip"] if self.installer else []
        command = [self.base, "-m", "venv", *options, self.folder]
        self.run(command, progress, "cannot create the environment")
        progress.tick(f"install {' '.join(packages)}")
        # Only wheels: a source package may ask for a tool chain (Rust) that is not here, and pip
        # then takes the newest version that has a wheel for this interpreter. Byte code is made of
        # what is used, but for an interpreter that leaves the work to another.
        options = ["--only-binary", ":all:", *([] if self.installer else ["--no-compile"])]
        self.run(self.pip(*options, *packages), progress, "cannot install from PyPI")
        self.mark("packages", stamp)
        progress.done(f"created from {self.base}, {len(packages)} packages from PyPI")

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


def environment_of(one: Interpreter, installer: Environment | None = None) -> Environment:
    status = os.stat(one.path)
    return Environment(
        one.tag,
        one.path,
        f"{one.path} {one.version} {status.st_mtime_ns}",
        installer,
        cpython_build.fixed_addresses() if one.tsan else (),
    )


def ensure_environments(wanted: Sequence[Interpreter], with_demo: Sequence[Interpreter]) -> None:
    """Those with the demo have what it draws with. pip uses one core: several run at once."""
    lists = apt.package_lists()["pip"]
    packages = {True: [*lists["interpreter"], *lists["demo"]], False: lists["interpreter"]}
    environments = [environment_of(one) for one in wanted]
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        try:
            created = [
                pool.submit(environment.ensure, packages[one in with_demo])
                for one, environment in zip(wanted, environments, strict=True)
            ]
            for future in concurrent.futures.as_completed(created):
                future.result()
        except BaseException:
            INTERRUPTED.set()
            pool.shutdown(cancel_futures=True)
            raise
    for environment in environments:
        build_packages(environment)


def ensure_tsan_environment(one: Interpreter, found: list[Interpreter]) -> None:
    """The ThreadSanitizer build runs the tests, and leaves all else to a build of its version.

    Both have one ABI, and under ThreadSanitizer pip takes minutes for what are seconds elsewhere.
    """
    twins = [each for each in found if each.chosen and each.version == one.version]
    twins = [each for each in twins if each.kind == one.kind]
    environment = environment_of(one, environment_of(twins[0]) if twins else None)
    environment.ensure(apt.package_lists()["pip"]["interpreter"])
    flags = "-fsanitize=thread -fno-omit-frame-pointer -g1"
    build_packages(
        environment,
        ["--config-settings=cmake.define.LATCHWORK_ATOMIC=tsan"],
        CC="clang-14",
        CXX="clang++-14",
        CFLAGS=flags,
        CXXFLAGS=flags,
        LDFLAGS="-fsanitize=thread",
        TSAN_OPTIONS="report_bugs=0",
    )


def wheel_folder(tag: str) -> Path:
    """Where the package is compiled, so that a second build compiles only what changed."""
    return BUILD / "wheel" / tag


def build_packages(environment: Environment, options: Sequence[str] = (), **env: str) -> None:
    words = [
        f"--config-settings=build-dir={wheel_folder(environment.tag)}",
        "--config-settings=cmake.define.CMAKE_EXPORT_COMPILE_COMMANDS=ON",
    ]
    environment.build("latchwork", PACKAGE_INPUTS, [*words, *options, "."], **env)
    # A copy, since setuptools writes beside the sources.
    copy = BUILD / "example" / environment.tag / Path(DEMO_EXAMPLE).name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / DEMO_EXAMPLE, copy)
    environment.build(DEMO_EXAMPLE, [*PACKAGE_INPUTS, DEMO_EXAMPLE], [str(copy)], **env)


def ensure_peers(one: Interpreter) -> None:
    """A peer that is not to be had here is missing in the tables, and nothing else."""
    packages = apt.package_lists()["pip"]["peers"]
    try:
        environment_of(one).build("peers of the binding", [], packages)
    except ToolError as error:
        say(f"benchmarks of {one.name} go without {' '.join(packages)}: {error}")


def ensure_tools() -> None:
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    environment = Environment("tools", base, f"{base} {sys.version}")
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


def run_cross_setup() -> None:
    """No interpreter but the tools' own: the tests of other targets are programs in C."""
    apt.ensure(APT_PURPOSES["cross"])
    with file_lock(VENVS / ".lock", "Another set-up is under way in this checkout; waiting."):
        ensure_tools()
        cross.setup()


def run_setup(purpose: str) -> None:
    start = time.monotonic()
    if purpose == "cross":
        run_cross_setup()
        return
    tsan = purpose in ("verify", "all")
    purposes = list(APT_PURPOSES[purpose])
    for kind in interpreters.lacking(interpreters.find(), tsan=tsan):
        # All at once, so that somebody who has to ask for packages asks once.
        purposes += cpython_build.packages(tsan=kind)
    apt.ensure(purposes)
    found = interpreters.ensure(tsan=tsan)
    require_both_kinds(found)
    with file_lock(VENVS / ".lock", "Another set-up is under way in this checkout; waiting."):
        ensure_tools()
        pair = demo_pair(found)
        wanted = pair if purpose in ("demo", "bench") else interpreters.chosen(found)
        ensure_environments(wanted, pair)
        for one in pair if purpose in ("bench", "all") else []:
            ensure_peers(one)
        if tsan:
            slow = [one for one in found if one.tsan][-1]
            ensure_tsan_environment(slow, found)
            wanted = [*wanted, slow]
    names = ", ".join(one.name for one in wanted)
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
