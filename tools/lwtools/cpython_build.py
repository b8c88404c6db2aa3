"""Build CPython from Debian's source package: free-threaded, or with ThreadSanitizer too."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from . import apt
from .common import (
    Progress,
    ToolError,
    cache_dir,
    cores,
    file_lock,
    reason,
    run_logged,
    say,
)

PACKAGE = "python3.13"
SUITE = "trixie"
MINOR = "3.13"

# Test modules and debug information would take the installed size from 53 MB to 300 MB.
CONFIGURE = ["--disable-gil", "--disable-test-modules"]


def prefix(*, tsan: bool) -> Path:
    return cache_dir() / f"cpython-{MINOR}t{'-tsan' if tsan else ''}"


def program(*, tsan: bool) -> Path:
    return prefix(tsan=tsan) / "bin" / f"python{MINOR}t"


def packages(*, tsan: bool) -> list[str]:
    """The purposes of the packages that a build needs."""
    return ["interpreter", "interpreter-tsan"] if tsan else ["interpreter"]


def install_with_uv() -> bool:
    uv = shutil.which("uv")
    if uv is None:
        return False
    log = cache_dir() / "logs" / "uv.log"
    log.unlink(missing_ok=True)
    progress = Progress(f"uv python install {MINOR}t")
    if run_logged([uv, "python", "install", f"{MINOR}t"], log, progress, limit_s=600) == 0:
        progress.done("installed")
        return True
    progress.done(f"refused ({reason(log)}); building from source instead")
    return False


def suppressions() -> Path:
    """CPython's own list of the races that its free-threaded build is known to have."""
    return prefix(tsan=True) / "share" / "tsan-suppressions.txt"


def fixed_addresses() -> list[str]:
    """Words that switch off address randomisation, which ThreadSanitizer may not cope with."""
    words = ["setarch", platform.machine(), "-R"]
    try:
        answer = subprocess.run([*words, "true"], capture_output=True, check=False)
    except OSError:
        return []
    return words if answer.returncode == 0 else []


def build(*, tsan: bool) -> Path:
    """Build into the cache, unless it is there; nothing half-built is ever left in place."""
    apt.ensure(packages(tsan=tsan))
    cache = cache_dir()
    name = prefix(tsan=tsan).name
    with file_lock(cache / f"{name}.lock", f"Another process builds {name}; waiting for it."):
        if program(tsan=tsan).exists():
            return program(tsan=tsan)
        work = cache / f"{name}.work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        log = cache / "logs" / f"{name}.log"
        log.unlink(missing_ok=True)
        what = f"CPython {MINOR} free-threaded{' with ThreadSanitizer' if tsan else ''}"
        say(f"Building {what} from Debian's source package into {prefix(tsan=tsan)}")
        say(f"(some minutes on {cores()} cores, once; log: {log})")
        progress = Progress(name)
        try:
            _build_in(work, log, progress, tsan=tsan)
        except (ToolError, OSError) as error:
            progress.done("failed")
            raise ToolError(f"cannot build {what}: {error} (log: {log})") from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        progress.done(f"built: {program(tsan=tsan)}")
    return program(tsan=tsan)


def _build_in(work: Path, log: Path, progress: Progress, *, tsan: bool) -> None:
    tarball = apt.fetch_source_tarball(PACKAGE, SUITE, work, log, progress)
    progress.tick("unpack")
    source = work / "source"
    source.mkdir()
    command = ["tar", "-xf", tarball, "-C", source, "--strip-components=1"]
    if run_logged(command, log, progress) != 0:
        raise ToolError(f"cannot unpack {tarball.name}: {reason(log)}")
    tarball.unlink()

    environment = dict(os.environ)
    # A user's settings for another Python have no place in the build of this one.
    for variable in (
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "VIRTUAL_ENV",
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
    ):
        environment.pop(variable, None)
    options = [f"--prefix={prefix(tsan=tsan)}", *CONFIGURE]
    runner: list[str] = []
    install = ["make", "install", f"DESTDIR={work / 'staging'}"]
    if tsan:
        environment |= {"CC": "clang-14", "CXX": "clang++-14", "TSAN_OPTIONS": "report_bugs=0"}
        # pip and the compilation of all modules take minutes under ThreadSanitizer. A virtual
        # environment brings its own pip; modules are compiled when they are first imported.
        options += ["--with-thread-sanitizer", "--without-ensurepip"]
        install.append("COMPILEALL_OPTS=-x .")
        runner = fixed_addresses()
        cflags = "-O2 -g1"
    else:
        cflags = "-O2 -g0"
    for phase, command in (
        ("configure", ["./configure", *options, f"OPT={cflags} -Wall"]),
        ("compile", [*runner, "make", f"-j{cores()}"]),
        ("install", [*runner, *install]),
    ):
        progress.tick(phase)
        if run_logged(command, log, progress, cwd=source, env=environment) != 0:
            raise ToolError(f"{phase} failed: {reason(log)}")

    progress.tick("check")
    staged = work / "staging" / prefix(tsan=tsan).relative_to("/")
    # Of CPython's tests only those of locks, which are also run on the locks of this project.
    tests = staged / "lib" / program(tsan=tsan).name / "test"
    shutil.copytree(source / "Lib" / "test" / "support", tests / "support")
    for name in ("__init__.py", "lock_tests.py"):
        shutil.copy2(source / "Lib" / "test" / name, tests / name)
    check = "import ctypes, ssl, sqlite3, bz2, lzma, zlib, ensurepip, venv, test.lock_tests"
    staged_program = staged / "bin" / program(tsan=tsan).name
    if (
        run_logged([*runner, staged_program, "-B", "-c", check], log, progress, env=environment)
        != 0
    ):
        raise ToolError(f"the build lacks a module: {reason(log)}")
    for file in staged.rglob("*.opt-[12].pyc"):
        file.unlink()
    if tsan:
        listed = [
            file.read_text()
            for name in ("suppressions.txt", "supressions.txt", "suppressions_free_threading.txt")
            if (file := source / "Tools" / "tsan" / name).exists()
        ]
        if not listed:
            raise ToolError("the sources have no list of known races under Tools/tsan")
        kept = staged / suppressions().relative_to(prefix(tsan=True))
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("\n".join(listed))
    # The only step that makes the result visible, and it is atomic.
    shutil.rmtree(prefix(tsan=tsan), ignore_errors=True)
    staged.rename(prefix(tsan=tsan))
