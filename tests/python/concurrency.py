# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of this folder share."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from typing import Any

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# A ThreadSanitizer build is about 17 times slower, and its memory says nothing of ours.
SANITIZED = "thread-sanitizer" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


def scaled(count: int) -> int:
    """How often to do what is done `count` times on an ordinary build."""
    return max(count // 20, 1) if SANITIZED else count


def run_threads(*functions: Callable[[], Any], count: int = 1) -> list[Any]:
    """Run each function in `count` threads that start together; return what they return.

    The first exception of a thread is raised here, after all have ended.
    """
    work = [function for function in functions for _ in range(count)]
    start = threading.Barrier(len(work))
    results: list[Any] = [None] * len(work)
    errors: list[BaseException] = []

    def body(index: int) -> None:
        try:
            start.wait()
            results[index] = work[index]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def run_python(code: str, *arguments: str, limit_s: float = 110) -> str:
    """Run a script in a fresh interpreter of the same kind; return what it printed.

    It fails if the script ends with a status other than 0 (a crash has a negative one), or hangs.
    """
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=limit_s * (2 if SANITIZED else 1),
        check=False,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def collector_clear(thing: object) -> None:
    """What the collector does to a piece of garbage, which is not always the last use of it."""
    import ctypes  # some interpreters have none

    slot = ctypes.pythonapi.PyType_GetSlot
    slot.restype, slot.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_int)
    address = slot(type(thing), 51)  # Py_tp_clear of the stable ABI
    assert address, f"{type(thing).__name__} has no tp_clear"
    assert ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(address)(thing) == 0


class Faster:
    """Lets threads of a GIL build change places often, so that races have a chance there too."""

    def __enter__(self) -> None:
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)

    def __exit__(self, *_: object) -> None:
        sys.setswitchinterval(self.interval)
