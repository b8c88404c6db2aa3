"""What every tool needs: where things live, one error type, commands with progress."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"

# A line now and then for a log that nobody redraws.
QUIET_INTERVAL_S = 30.0


class ToolError(Exception):
    """An error that one line explains; the tools print it without a traceback."""


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(Path.home(), ".cache")
    return Path(base) / "latchwork"


def cores() -> int:
    return len(os.sched_getaffinity(0))


def say(text: str) -> None:
    print(text, flush=True)


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# Set on Ctrl-C, so that commands of other threads end as well.
INTERRUPTED = threading.Event()


class Progress:
    """One long step: redrawn on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.phase = ""
        self.start = time.monotonic()
        self._said = self.start
        self._tty = sys.stdout.isatty()
        if not self._tty:
            say(f"{title} ...")

    def tick(self, phase: str | None = None) -> None:
        changed = phase is not None and phase != self.phase
        if phase is not None:
            self.phase = phase
        now = time.monotonic()
        text = f"{self.title}{': ' if self.phase else ''}{self.phase} {clock(now - self.start)}"
        if self._tty:
            print(f"\r\033[K{text}", end="", flush=True)
        elif changed or now - self._said >= QUIET_INTERVAL_S:
            self._said = now
            say(f"  {text}")

    def done(self, result: str) -> None:
        end = "\r\033[K" if self._tty else ""
        say(f"{end}{self.title}: {result} ({clock(time.monotonic() - self.start)})")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started: it leads a session of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
    process.wait()


def run_logged(
    command: Sequence[str | Path],
    log: Path,
    progress: Progress | None = None,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> int | None:
    """Run with all output appended to a log. The exit status, or None past the limit."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {shlex.join(map(str, command))}\n".encode())
        out.flush()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )
        start = time.monotonic()
        try:
            while True:
                try:
                    return process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    pass
                if progress:
                    progress.tick()
                if INTERRUPTED.is_set():
                    end_group(process)
                    raise ToolError("interrupted")
                if limit_s is not None and time.monotonic() - start > limit_s:
                    end_group(process)
                    return None
        except BaseException:
            end_group(process)
            raise


# Words of a line that says why something failed, and of those that only say that it did.
TELLING = re.compile(r"rror[: ]|^E: |^Err:|FAILED|CMake Error|undefined reference|No such file")
GENERIC = re.compile(
    r"subprocess-exited-with-error|metadata-generation-failed|ERROR: Failed building wheel"
    r"|-Werror|did not run successfully|failed-wheel-build"
)


def reason(log: Path) -> str:
    """The line of a log that most likely says why: its first error, or else its end."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("$ ")]
    for line in lines:
        if TELLING.search(line) and not GENERIC.search(line):
            return line[:300]
    return lines[-1][:300] if lines else "it printed nothing"


@contextlib.contextmanager
def file_lock(path: Path, waiting: str) -> Iterator[None]:
    """Held by one process at a time; the kernel drops it when that process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def report_errors(work: object) -> int:
    """Run a tool's body; a ToolError or Ctrl-C ends in one line."""
    try:
        return work()  # type: ignore[operator]
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
