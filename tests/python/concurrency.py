# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of this folder share."""

from __future__ import annotations

import abc
import gc
import importlib.util
import operator
import os
import pickle
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import traceback
import unittest
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

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


def wait_for_a_waiter() -> None:
    """There is no way to ask whether a thread sleeps; long enough that it mostly does."""
    time.sleep(0.05)


def wait_until(condition: Callable[[], object]) -> None:
    """The watchdog ends it, if nothing else does."""
    while not condition():
        time.sleep(0.001)


def wait_for_an_alarm(wait: Callable[[], object]) -> None:
    """Wait, and be sent SIGALRM meanwhile; on a busy machine it may come before the wait."""
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    wait()


def start_and_wait(timer: threading.Timer, wait: Callable[[], object]) -> None:
    timer.start()
    wait()


def ends_by_a_signal(on_signal: Callable[..., object], wait: Callable[[], object]) -> None:
    """What the handler of a signal raises comes out of the wait; so does Ctrl-C."""

    def handler(*_: object) -> None:
        raise ZeroDivisionError

    on_signal(handler)
    with pytest.raises(ZeroDivisionError):
        wait_for_an_alarm(wait)
    timer = threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        start_and_wait(timer, wait)
    timer.join()


def run_in_a_storm(
    on_signal: Callable[..., object], here: Callable[[], object], there: Callable[[], object]
) -> None:
    """Run one function while its waits are interrupted again and again, the other in a thread.

    They play ping-pong: it stands still if a wake is lost.
    """
    on_signal(lambda *_: None)
    thread = threading.Thread(target=there)
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        here()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    thread.join()


def run_in_fork(body: Callable[[], object]) -> None:
    """Run it in a child that was forked here; what it raises is shown, and fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are running
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def check_instance(thing: Any) -> None:
    assert weakref.ref(thing)() is thing
    assert hash(thing) == hash(thing)
    assert thing != object()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(thing, protocol)


def check_object(thing: Any, final: bool = True) -> None:
    """What all locks are: weakly referable, hashable by identity, and not to be pickled."""
    kind = type(thing)
    check_instance(thing)
    if final:
        with pytest.raises(TypeError):
            type("Sub", (kind,), {})
    with pytest.raises((TypeError, AttributeError)):
        kind.attribute = 1
    with pytest.raises(AttributeError):
        thing.attribute = 1


def check_subclass(
    kind: type[Any], *args: Any, unmade: dict[str, tuple[Any, ...]] | None = None
) -> Any:
    """An object of a subclass, whose __init__ is made as that of any class. `unmade`: the calls
    that need the type's own __init__; None if that has nothing to do."""

    class Named(kind):  # type: ignore[misc]
        def __init__(self, name: str, *args: Any) -> None:
            super().__init__(*args)
            self.name = name

    thing = Named("its name", *args)
    assert isinstance(thing, kind)
    assert thing.name == "its name"
    assert repr(thing).replace("<unlocked ", "<").startswith(f"<{__name__}.check_subclass.<")
    check_instance(thing)
    thing.itself = thing
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None
    with pytest.raises(TypeError):
        kind(1, 2, 3, 4)
    with pytest.raises(TypeError):
        Named("its name", 1, 2, 3, 4)

    class Plain(kind):  # type: ignore[misc]
        pass

    with pytest.raises(TypeError):
        Plain(1, 2, 3, 4)

    class Abstract(kind, abc.ABC):  # type: ignore[misc]
        @abc.abstractmethod
        def missing(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract(*args)
    if unmade is not None:
        thing = Named("its name", *args)
        with pytest.raises(RuntimeError, match=r"Named.__init__\(\) called twice"):
            kind.__init__(thing, *args)
        bare = kind.__new__(kind)
        assert "__init__() not called" in repr(bare)
        for name, given in unmade.items():
            with pytest.raises(RuntimeError, match=r"__init__\(\) not called"):
                operator.methodcaller(name, *given)(bare)
        kind.__init__(bare, *args)
        assert "not called" not in repr(bare)
    return Named("its name", *args)


def check_chain(link: Callable[[Any], Any]) -> None:
    """Each holds the next one: to free them all must not use up the stack."""
    chain = None
    for _ in range(scaled(200_000)):
        chain = link(chain)
    del chain
    gc.collect()


HAS_LOCK_TESTS = importlib.util.find_spec("test") and importlib.util.find_spec("test.lock_tests")
with_lock_tests = pytest.mark.skipif(
    not HAS_LOCK_TESTS, reason="this interpreter comes without test.lock_tests"
)


def run_lock_tests(case: str, at_least: int, leave_out: tuple[str, ...] = (), **kind: Any) -> None:
    """Run one class of CPython's own tests of its locks, for another kind of lock."""
    from test import lock_tests

    tests = {name: staticmethod(factory) for name, factory in kind.items()}
    own = type(case, (getattr(lock_tests, case),), {**tests, **dict.fromkeys(leave_out)})
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(own)
    result = unittest.TestResult()
    suite.run(result)
    problems = "\n".join(text for _, text in result.failures + result.errors)
    assert not problems
    assert not result.skipped
    assert result.testsRun >= at_least
