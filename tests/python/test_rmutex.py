# SPDX-License-Identifier: BSD-2-Clause
"""RMutex: what threading.RLock does, and what CPython's own tests ask of one."""

from __future__ import annotations

import signal
import threading

import pytest
from concurrency import (
    Faster,
    check_object,
    check_subclass,
    ends_by_a_signal,
    run_in_a_storm,
    run_in_fork,
    run_lock_tests,
    run_threads,
    scaled,
    wait_for_a_waiter,
    with_lock_tests,
)
from latchwork import RMutex
from test_mutex import ARGUMENTS, outcome


class Held:
    """Another thread holds the lock within the block."""

    def __init__(self, lock):
        self.lock, self.is_held, self.ends = lock, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold)

    def hold(self):
        with self.lock:
            self.is_held.set()
            self.ends.wait()

    def __enter__(self):
        self.thread.start()
        self.is_held.wait()

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_arguments_as_threading_rlock(args, kwargs):
    mutex = RMutex()
    assert outcome(mutex, args, kwargs) == outcome(threading.RLock(), args, kwargs)
    assert mutex.locked() == (outcome(RMutex(), args, kwargs) is True)


def test_levels():
    mutex = RMutex()
    assert not mutex.locked()
    for depth in range(1, 5):
        assert mutex.acquire() is True
        assert mutex._recursion_count() == depth
    with mutex as entered:
        assert entered is True
        assert mutex.acquire(False) is mutex.acquire(timeout=0.01) is True
        mutex.release()
        mutex.release()
    for depth in range(4, 0, -1):
        assert mutex._recursion_count() == depth
        assert mutex._is_owned()
        assert mutex.locked()
        assert mutex.release() is None
    assert not mutex._is_owned()
    assert not mutex.locked()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        mutex.release()


def test_only_the_owner_releases():
    mutex = RMutex()
    with pytest.raises(RuntimeError):
        mutex.release()
    with Held(mutex):
        for misuse in (mutex.release, mutex._release_save, lambda: mutex.__exit__(None, None)):
            with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
                misuse()
        assert mutex.locked()
        assert not mutex._is_owned()
        assert mutex._recursion_count() == 0
        assert mutex.acquire(False) is False
        assert mutex.acquire(timeout=0.01) is False
    assert mutex.acquire(False)


def test_saved_and_restored():
    mutex = RMutex()
    for _ in range(3):
        mutex.acquire()
    saved = mutex._release_save()
    assert not mutex.locked()
    with Held(mutex):
        pass
    mutex._acquire_restore(saved)
    assert mutex._recursion_count() == 3
    with pytest.raises(RuntimeError):
        mutex._acquire_restore(saved)
    assert mutex._recursion_count() == 3
    for wrong, error in (
        ("1", TypeError),
        (0, ValueError),
        (-1, ValueError),
        (2**32, OverflowError),
    ):
        with pytest.raises(error):
            RMutex()._acquire_restore(wrong)


def test_more_levels_than_it_can_count():
    mutex = RMutex()
    mutex._acquire_restore(2**32 - 1)
    for acquire in (mutex.acquire, mutex.__enter__, lambda: mutex.acquire(False)):
        with pytest.raises(OverflowError):
            acquire()
    assert mutex._recursion_count() == 2**32 - 1
    mutex.release()
    assert mutex.acquire()


def test_of_what_kind_it_is():
    mutex = RMutex()
    assert repr(mutex).startswith("<unlocked latchwork.RMutex object at 0x")
    mutex.acquire()
    assert repr(mutex).startswith("<locked latchwork.RMutex object at 0x")
    check_object(mutex, final=False)
    for args, kwargs in (((1,), {}), ((), {"a": 1})):
        with pytest.raises(TypeError):
            RMutex(*args, **kwargs)


def test_a_subclass():
    mutex = check_subclass(RMutex)
    with mutex, mutex:
        assert mutex._recursion_count() == 2
        assert run_threads(lambda: mutex.acquire(False)) == [False]


def test_mutual_exclusion():
    mutex, inside = RMutex(), [0]
    count = 0

    def work():
        nonlocal count
        for _ in range(scaled(2000)):
            with mutex, mutex:
                inside[0] += 1
                assert inside[0] == 1
                count += 1
                inside[0] -= 1

    with Faster():
        run_threads(work, count=4)
    assert count == 4 * scaled(2000)


def test_inside_of_a_condition_of_threading():
    condition, queue = threading.Condition(RMutex()), []

    def consume():
        with condition, condition:
            while not queue:
                condition.wait()
            return queue.pop()

    def produce():
        with condition:
            queue.append(1)
            condition.notify()

    assert run_threads(consume, produce)[0] == 1


@pytest.mark.parametrize(
    "wait", [lambda m: m.acquire(), lambda m: m.acquire(timeout=100), lambda m: m.__enter__()]
)
def test_a_signal_ends_the_wait(on_signal, wait):
    mutex = RMutex()
    with Held(mutex):
        ends_by_a_signal(on_signal, lambda: wait(mutex))
        assert not mutex._is_owned()
    assert mutex.acquire(False)


def test_a_handler_that_returns_lets_it_wait_on(on_signal):
    mutex, handled = RMutex(), []
    holder = Held(mutex)
    holder.__enter__()

    def handler(*_):
        handled.append(mutex.locked())
        if len(handled) == 3:
            holder.__exit__()

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert mutex.acquire() is True
    assert handled[:3] == [True] * 3


def test_exclusion_in_a_storm_of_signals(on_signal):
    mutex, count = RMutex(), [0]

    def work():
        for _ in range(scaled(2000)):
            with mutex, mutex:
                before = count[0]
                mutex._is_owned()
                count[0] = before + 1

    run_in_a_storm(on_signal, work, work)
    assert count == [2 * scaled(2000)]


def test_a_child_finds_what_its_own_thread_holds():
    mutex, other = RMutex(), RMutex()
    mutex.acquire()

    def child():
        assert mutex._recursion_count() == 1
        mutex.release()
        assert other.acquire(False) is False
        with pytest.raises(RuntimeError):
            other.release()
        other._at_fork_reinit()
        assert not other.locked()
        assert other.acquire(False) is other.acquire(False) is True

    with Held(other):
        waiter = threading.Thread(target=mutex.acquire, args=(True, 100))
        waiter.start()
        wait_for_a_waiter()
        run_in_fork(child)
        mutex.release()
        waiter.join()


@with_lock_tests
def test_the_lock_tests_of_cpython():
    run_lock_tests("RLockTests", 18, locktype=RMutex)
