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

# Of CPython's own tests this project uses those of locks, and _testcapi to make memory run out.
# All of them would treble the installed size, and the modules below would cost a minute.
UNUSED_MODULES = """\
*disabled*
_ctypes_test _testbuffer _testclinic _testclinic_limited _testexternalinspection
_testimportmultiple _testinternalcapi _testlimitedcapi _testmultiphase _testsinglephase _tkinter
_xxtestfuzz xxlimited xxlimited_35
"""
KEPT_TESTS = ("__init__.py", "lock_tests.py", "support")


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
    (source / "Modules" / "Setup.local").write_text(UNUSED_MODULES)
    options = [f"--prefix={prefix(tsan=tsan)}", "--disable-gil"]
    runner: list[str] = []
    install = ["make", "install", f"DESTDIR={work / 'staging'}"]
    # The install step compiles every module, tests too, three times; asked for help, compileall
    # prints that and is content.
    install += ["TESTSUBDIRS=test test/support", "COMPILEALL_OPTS=--help"]
    if tsan:
        environment |= {"CC": "clang-14", "CXX": "clang++-14", "TSAN_OPTIONS": "report_bugs=0"}
        # pip takes minutes under ThreadSanitizer, and a virtual environment brings its own.
        options += ["--with-thread-sanitizer", "--without-ensurepip"]
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
    library = staged / "lib" / program(tsan=tsan).name
    for path in (library / "test").iterdir():
        if path.name not in KEPT_TESTS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    check = (
        "import ctypes, ssl, sqlite3, bz2, lzma, zlib, ensurepip, venv, _testcapi, test.lock_tests"
    )
    staged_program = staged / "bin" / program(tsan=tsan).name
    if (
        run_logged([*runner, staged_program, "-B", "-c", check], log, progress, env=environment)
        != 0
    ):
        raise ToolError(f"the build lacks a module: {reason(log)}")
    if not tsan:
        # Under ThreadSanitizer this takes minutes, so there a first import compiles a module.
        progress.tick("compile the library")
        command = [staged_program, "-m", "compileall", "-q", "-j0", "-s", work / "staging", library]
        if run_logged(command, log, progress, env=environment) != 0:
            raise ToolError(f"the library does not compile: {reason(log)}")
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
