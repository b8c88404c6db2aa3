# SPDX-License-Identifier: BSD-2-Clause
"""Mutex: what threading.Lock does, and what CPython's own tests ask of a lock."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import pytest
from concurrency import (
    Faster,
    check_object,
    run_lock_tests,
    run_threads,
    scaled,
    start_and_wait,
    wait_for_a_waiter,
    wait_for_an_alarm,
    with_lock_tests,
)
from latchwork import AtomicInt, Mutex

# ---- arguments ----

# Each has to end as it does for threading.Lock.
ARGUMENTS = [
    ((), {}),
    ((True,), {}),
    ((True, -1), {}),
    ((True, 0), {}),
    ((True, 1.5), {}),
    ((1, True), {}),
    ((False,), {}),
    ((False, -1), {}),
    ((False, -1.0), {}),
    ((False, 0), {}),
    ((False, 1), {}),
    ((True, -2), {}),
    ((True, -0.5), {}),
    ((True, -1e-9), {}),
    ((True, float("nan")), {}),
    ((True, float("inf")), {}),
    ((True, float("-inf")), {}),
    ((True, 1e100), {}),
    ((True, -1e100), {}),
    ((True, 2**63), {}),
    ((True, -(2**63)), {}),
    ((True, 2**100), {}),
    ((True, -(2**100)), {}),
    ((False, float("nan")), {}),
    ((False, float("inf")), {}),
    ((False, float("-inf")), {}),
    ((False, -(2**100)), {}),
    ((True, threading.TIMEOUT_MAX), {}),
    ((True, threading.TIMEOUT_MAX + 1), {}),
    ((True, "1"), {}),
    ((True, None), {}),
    ((True, 1, 2), {}),
    ((), {"blocking": False}),
    ((), {"timeout": 1}),
    ((), {"timeout": 1, "blocking": True}),
    ((), {"timeout": 1, "blocking": False}),
    ((True,), {"timeout": 1}),
    ((True,), {"blocking": True}),
    ((), {"other": 1}),
]


def outcome(lock, args, kwargs):
    try:
        return lock.acquire(*args, **kwargs)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_arguments_as_threading_lock(args, kwargs):
    mutex = Mutex()
    assert outcome(mutex, args, kwargs) == outcome(threading.Lock(), args, kwargs)
    assert mutex.locked() == (outcome(Mutex(), args, kwargs) is True)


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((False, 1), ValueError, "can't specify a timeout for a non-blocking call"),
        ((True, -2), ValueError, "timeout value must be a non-negative number"),
        ((True, 1e100), OverflowError, "timeout value is too large"),
    ],
)
def test_messages(args, error, text):
    with pytest.raises(error, match=text):
        Mutex().acquire(*args)
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        Mutex().release()


def test_what_blocking_says_is_asked():
    class Bad:
        def __bool__(self):
            raise ZeroDivisionError

    mutex = Mutex()
    with pytest.raises(ZeroDivisionError):
        mutex.acquire(Bad())
    assert not mutex.locked()


# ---- one thread ----


def test_lock_and_unlock():
    mutex = Mutex()
    assert not mutex.locked()
    assert mutex.acquire() is True
    assert mutex.locked()
    assert mutex.acquire(False) is False
    assert mutex.acquire(timeout=0) is False
    assert mutex.acquire(timeout=0.01) is False
    assert mutex.locked()
    assert mutex.release() is None
    assert not mutex.locked()
    with mutex as entered:
        assert entered is True
        assert mutex.locked()
    assert not mutex.locked()
    with pytest.raises(ZeroDivisionError), mutex:
        raise ZeroDivisionError
    assert not mutex.locked()


@pytest.mark.parametrize("kind", [Mutex, threading.Lock])
def test_the_old_names(kind):
    lock = kind()
    assert lock.acquire_lock() is True
    assert lock.locked_lock() is lock.locked() is True
    assert lock.acquire_lock(False) is lock.acquire_lock(blocking=True, timeout=0.01) is False
    assert lock.release_lock() is None
    assert lock.locked_lock() is False
    with pytest.raises(RuntimeError):
        lock.release_lock()


def test_f9_a_stray_release_is_an_error_and_changes_nothing():
    mutex = Mutex()
    for _ in range(3):
        with pytest.raises(RuntimeError):
            mutex.release()
        assert not mutex.locked()
        assert mutex.acquire(False)
        assert not mutex.acquire(False)
        mutex.release()


def test_f9_of_many_releases_at_once_one_counts():
    mutex = Mutex()

    def release():
        try:
            mutex.release()
        except RuntimeError:
            return 0
        return 1

    with Faster():
        for _ in range(scaled(200)):
            mutex.acquire()
            assert sum(run_threads(release, count=3)) == 1
            assert not mutex.locked()


def test_f9_releases_that_race():
    mutex, balance = Mutex(), AtomicInt()

    def work():
        for _ in range(scaled(20_000)):
            if mutex.acquire(False):
                balance.add(1)
            try:
                mutex.release()
                balance.sub(1)
            except RuntimeError:
                pass

    with Faster():
        run_threads(work, count=3)
    assert balance.load() == mutex.locked()


def test_of_what_kind_it_is():
    mutex = Mutex()
    assert repr(mutex).startswith("<unlocked latchwork.Mutex object at 0x")
    mutex.acquire()
    assert repr(mutex).startswith("<locked latchwork.Mutex object at 0x")
    check_object(mutex)
    for args, kwargs in (((1,), {}), ((), {"a": 1})):
        with pytest.raises(TypeError):
            Mutex(*args, **kwargs)


# ---- threads ----


def test_mutual_exclusion():
    mutex, inside = Mutex(), [0]
    count = 0

    def work():
        nonlocal count
        for _ in range(scaled(5000)):
            with mutex:
                inside[0] += 1
                assert inside[0] == 1
                count += 1
                inside[0] -= 1

    with Faster():
        run_threads(work, count=4)
    assert count == 4 * scaled(5000)


def test_a_waiter_is_woken():
    mutex, got = Mutex(), AtomicInt()
    mutex.acquire()

    def wait():
        with mutex:
            got.add(1)

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_for_a_waiter()
    assert got.load() == 0
    mutex.release()
    for thread in threads:
        thread.join()
    assert got.load() == 5


def test_time_limits_beside_a_holder():
    mutex = Mutex()
    mutex.acquire()
    assert run_threads(lambda: mutex.acquire(timeout=0.02), count=4) == [False] * 4
    mutex.release()
    assert mutex.acquire(False)


@pytest.mark.parametrize("wait", [lambda m: m.acquire(), lambda m: m.acquire(timeout=100)])
def test_f10_f14_a_waiter_is_detached(wait):
    """If not, this would stand still: for the GIL, or for the free-threaded collector's pause."""
    mutex = Mutex()
    mutex.acquire()
    thread = threading.Thread(target=wait, args=(mutex,))
    thread.start()
    wait_for_a_waiter()
    for _ in range(10):
        gc.collect()
    mutex.release()
    thread.join()
    assert mutex.locked()


def test_a_mutex_that_its_last_user_drops():
    for _ in range(scaled(300)):
        holder = [Mutex()]

        def use(holder=holder):
            try:
                mutex = holder[0]
            except IndexError:
                return
            with mutex:
                holder.clear()

        run_threads(use, count=2)


def test_inside_of_a_condition():
    """threading.Condition asks a lock for more than a with statement does."""
    condition, queue = threading.Condition(Mutex()), []

    def consume():
        with condition:
            while not queue:
                condition.wait()
            return queue.pop()

    def produce():
        for item in range(3):
            with condition:
                queue.append(item)
                condition.notify()

    *taken, _ = run_threads(consume, consume, consume, produce)
    assert sorted(taken) == [0, 1, 2]
    with condition:
        assert condition.wait(timeout=0.01) is False


# ---- signals ----


@pytest.mark.parametrize(
    "wait", [lambda m: m.acquire(), lambda m: m.acquire(timeout=100), lambda m: m.__enter__()]
)
def test_what_a_signal_handler_raises_ends_the_wait(on_signal, wait):
    def handler(*_):
        raise ZeroDivisionError

    mutex = Mutex()
    mutex.acquire()
    on_signal(handler)
    with pytest.raises(ZeroDivisionError):
        wait_for_an_alarm(lambda: wait(mutex))
    mutex.release()
    assert mutex.acquire(False)


def test_ctrl_c_ends_the_wait():
    mutex = Mutex()
    mutex.acquire()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        start_and_wait(timer, mutex.acquire)
    timer.join()
    assert mutex.locked()


def test_a_handler_that_returns_lets_it_wait_on(on_signal):
    mutex, handled = Mutex(), []
    mutex.acquire()

    def handler(*_):
        handled.append(mutex.locked())
        if len(handled) == 3:
            mutex.release()

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert mutex.acquire() is True
    assert handled == [True] * 3
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert mutex.acquire(timeout=0.1) is False


# ---- CPython's tests ----


@with_lock_tests
def test_the_lock_tests_of_cpython():
    run_lock_tests("LockTests", 15, locktype=Mutex)


@pytest.mark.parametrize("kind", [Mutex, threading.Lock])
def test_may_be_released_for_a_thread_that_has_not_returned_with_it(kind: type) -> None:
    for _ in range(50):
        lock = kind()
        lock.acquire()
        waiter = threading.Thread(target=lock.acquire)
        waiter.start()
        time.sleep(0.003)  # long enough for it to be handed the lock
        lock.release()
        while not lock.locked():
            time.sleep(0)  # the waiter has yet to run
        lock.release()
        waiter.join()
        assert not lock.locked()
