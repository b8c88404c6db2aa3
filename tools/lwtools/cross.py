"""Builds for other machines, and what runs them here: packages, cmocka, Wine's folder.

What this machine cannot have is no failure: `make cross` says which target did not run, and why.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import apt
from .common import BUILD, ROOT, Progress, ToolError, reason, run_logged, say

CROSS = BUILD / "cross"
# cmocka runs the unit tests, and no package has it for a target.
CMOCKA = "cmocka"


@dataclass(frozen=True)
class Target:
    name: str
    triple: str  # names the tool chain file and the compiler
    purpose: str  # of packages.toml
    presets: tuple[str, ...]
    wine: bool = False

    @property
    def toolchain(self) -> Path:
        return ROOT / "cmake" / "toolchains" / f"{self.triple}.cmake"

    @property
    def cmocka(self) -> Path:
        return CROSS / CMOCKA / self.triple


TARGETS = (
    Target("aarch64", "aarch64-linux-gnu", "cross-aarch64", ("aarch64", "aarch64-static")),
    Target("windows", "x86_64-w64-mingw32", "cross-windows", ("windows",), wine=True),
)


class Unavailable(ToolError):
    """Something that a target needs is not to be had on this machine."""


def wine_environment() -> dict[str, str]:
    """A folder of its own, no windows, nothing fetched, no debugger for a program that aborts."""
    return {
        "WINEPREFIX": str(CROSS / "wine"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe,winedbg.exe=",
        "DISPLAY": "",
    }


@contextlib.contextmanager
def session(target: Target) -> Iterator[dict[str, str]]:
    """The variables that a target's programs need, while what serves them runs.

    Wine's services start with the first program and end with the last. Started by a test, they
    would cost it seconds and keep its output open after it has ended; so one idle program stays.
    """
    if not target.wine:
        yield {}
        return
    env = dict(os.environ) | wine_environment()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
    with subprocess.Popen(["wine", "cmd"], stdin=subprocess.PIPE, **quiet) as idle:
        try:
            subprocess.run(["wine", "cmd", "/c", "ver"], **quiet, timeout=300, check=False)
            yield wine_environment()
        finally:
            assert idle.stdin is not None
            idle.stdin.close()
            subprocess.run(["wineserver", "--kill"], **quiet, timeout=60, check=False)


def _reasons() -> Path:
    return CROSS / "unavailable.json"


def unavailable() -> dict[str, str]:
    """Target to reason, as the last set-up found them."""
    try:
        return dict(json.loads(_reasons().read_text()))
    except (OSError, ValueError):
        return {}


def _once(done: Path, log: Path, title: str, work: Callable[[Path, Progress], None]) -> None:
    """Makes a folder, and moves it into place when it is whole."""
    if done.is_dir():
        return
    part = done.with_name(f"{done.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    log.unlink(missing_ok=True)
    progress = Progress(title)
    try:
        work(part, progress)
    except ToolError:
        progress.done("failed")
        raise
    part.rename(done)
    progress.done(f"made {done.relative_to(ROOT)}")


def _build_cmocka(target: Target, folder: Path, log: Path, progress: Progress) -> None:
    source, build = folder / "source", folder / "build"
    source.mkdir()
    try:
        tarball = apt.fetch_source_tarball(CMOCKA, apt.debian_mirror().suite, folder, log, progress)
    except ToolError as error:
        raise Unavailable(str(error)) from None
    options = {
        "CMAKE_TOOLCHAIN_FILE": target.toolchain,
        "CMAKE_BUILD_TYPE": "Release",
        "WITH_EXAMPLES": "OFF",
        # The older releases know the first of these, the newer ones the second.
        "WITH_STATIC_LIB": "ON",
        "BUILD_SHARED_LIBS": "OFF",
    }
    settings = [f"-D{name}={value}" for name, value in options.items()]
    for phase, command in (
        ("unpack", ["tar", "-xf", tarball, "-C", source, "--strip-components=1"]),
        ("configure", ["cmake", "-G", "Ninja", "-S", source, "-B", build, *settings]),
        ("compile", ["cmake", "--build", build]),
    ):
        progress.tick(phase)
        if run_logged(command, log, progress) != 0:
            raise ToolError(f"{phase} {CMOCKA} for {target.name}: {reason(log)} (log: {log})")
    libraries = [*build.rglob("libcmocka*.a")]
    libraries = [file for file in libraries if not file.name.endswith(".dll.a")]
    if not libraries:
        raise ToolError(f"{CMOCKA} for {target.name} made no static library (log: {log})")
    for part, file in (("include", source / "include" / "cmocka.h"), ("lib", libraries[0])):
        (folder / part).mkdir()
        shutil.copy2(file, folder / part / ("cmocka.h" if part == "include" else "libcmocka.a"))
    for rest in (source, build, folder / "apt"):
        shutil.rmtree(rest)
    tarball.unlink()


def _make_wine_folder(folder: Path, log: Path, progress: Progress) -> None:
    progress.tick("wineboot")
    env = dict(os.environ) | wine_environment() | {"WINEPREFIX": str(folder)}
    command = ["wine", "wineboot", "--init"]
    # It complains about what a machine without a screen lacks; what counts is that programs run.
    run_logged(command, log, progress, env=env, limit_s=300)
    run_logged(["wineserver", "--wait"], log, progress, env=env, limit_s=60)
    if run_logged(["wine", "cmd", "/c", "ver"], log, progress, env=env, limit_s=60) != 0:
        raise Unavailable(f"Wine runs no program: {reason(log)} (log: {log})")
    run_logged(["wineserver", "--wait"], log, progress, env=env, limit_s=60)


def _prepare(target: Target) -> None:
    try:
        apt.ensure([target.purpose])
    except ToolError as error:
        raise Unavailable(str(error)) from None
    compiler = f"{target.triple}-gcc"
    if shutil.which(compiler) is None:
        raise Unavailable(f"{compiler} is not there")
    log = BUILD / "logs" / f"cross-{target.name}-setup.log"
    _once(
        target.cmocka,
        log,
        f"{CMOCKA} for {target.name}",
        lambda folder, progress: _build_cmocka(target, folder, log, progress),
    )
    if target.wine:
        _once(
            CROSS / "wine",
            log,
            "Wine's folder",
            lambda folder, progress: _make_wine_folder(folder, log, progress),
        )


def setup() -> None:
    """Get what each target needs; keep the reason where it is not to be had."""
    reasons: dict[str, str] = {}
    for target in TARGETS:
        try:
            _prepare(target)
        except Unavailable as error:
            reasons[target.name] = str(error)
            say(f"{target.name} will not run: {error}")
    CROSS.mkdir(parents=True, exist_ok=True)
    _reasons().write_text(json.dumps(reasons, indent=2) + "\n")
