# SPDX-License-Identifier: BSD-2-Clause
"""Semaphore and BoundedSemaphore: what threading's do, and what CPython's own tests ask of them."""

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
from latchwork import AtomicInt, BoundedSemaphore, Semaphore
from test_event import LIMITS, NAN, NUMBERS, outcome

both = pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
LARGEST = 2**31 - 1


@both
@pytest.mark.parametrize(("limit", "expected"), LIMITS)
def test_limits_as_threading_semaphore(kind, limit, expected):
    theirs = getattr(threading, kind.__name__)(0)
    for semaphore in (kind(0), theirs):
        assert outcome(semaphore.acquire, timeout=limit) == expected
        assert outcome(semaphore.acquire, True, limit) == expected


@both
@pytest.mark.parametrize("limit", NUMBERS)
def test_no_limit_matters_where_there_is_one_to_take(kind, limit):
    for semaphore in (kind(1), getattr(threading, kind.__name__)(1)):
        assert semaphore.acquire(timeout=limit) is True


@both
def test_not_a_number_is_no_time(kind):
    assert kind(0).acquire(timeout=NAN) is False  # threading's do not return


@both
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((True,), {}),
        ((False,), {}),
        ((True, None), {}),
        ((False, None), {}),
        ((False, 1), {}),
        ((False, -1), {}),
        ((0, 0), {}),
        ((), {"blocking": False}),
        ((), {"blocking": False, "timeout": None}),
        ((), {"blocking": False, "timeout": 1}),
        ((), {"timeout": 1}),
        ((True, 1, 2), {}),
        ((), {"other": 1}),
        ((True,), {"blocking": True}),
    ],
)
def test_arguments_as_threading_semaphore(kind, args, kwargs):
    theirs = getattr(threading, kind.__name__)(1)
    assert outcome(kind(1).acquire, *args, **kwargs) == outcome(theirs.acquire, *args, **kwargs)


@both
def test_values(kind):
    for wrong in (-1, -(2**100)):
        with pytest.raises(ValueError, match="semaphore initial value must be >= 0"):
            kind(wrong)
    for wrong in (LARGEST + 1, 2**100):
        with pytest.raises(OverflowError):
            kind(wrong)
    for wrong in ("1", None, 1.0):
        with pytest.raises(TypeError):
            kind(wrong)
    with pytest.raises(TypeError):
        kind(1, 2)
    assert "value=1" in repr(kind())
    assert "value=3" in repr(kind(value=3))
    assert f"value={LARGEST}" in repr(kind(LARGEST))


@both
def test_acquire_and_release(kind):
    semaphore = kind(2)
    assert semaphore.acquire() is semaphore.acquire(False) is True
    assert semaphore.acquire(False) is semaphore.acquire(timeout=0.01) is False
    assert semaphore.release() is None
    with semaphore as entered:
        assert entered is True
        assert not semaphore.acquire(False)
    assert semaphore.acquire(False)
    assert semaphore.release(n=2) is None
    for wrong in (0, -1, -(2**100)):
        with pytest.raises(ValueError, match="n must be one or more"):
            semaphore.release(wrong)
    for args, kwargs in (((1, 2), {}), ((), {"m": 1}), (("1",), {}), ((1.0,), {})):
        with pytest.raises(TypeError):
            semaphore.release(*args, **kwargs)
    assert "value=2" in repr(semaphore)


def test_released_too_often():
    semaphore = BoundedSemaphore(2)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        semaphore.release()
    semaphore.acquire()
    for n in (2, LARGEST, 2**32 - 1, 2**32, 2**100):
        with pytest.raises(ValueError, match="Semaphore released too many times"):
            semaphore.release(n)
    semaphore.release()
    assert "value=2/2" in repr(semaphore)
    semaphore = Semaphore(LARGEST)
    for n in (1, LARGEST, 2**32 - 1, 2**32, 2**100):
        with pytest.raises(OverflowError):
            semaphore.release(n)
    assert f"value={LARGEST}" in repr(semaphore)


@both
def test_of_what_kind_it_is(kind):
    check_object(kind(), final=False)
    assert issubclass(kind, Semaphore)


@both
def test_a_subclass(kind):
    calls = dict.fromkeys(("acquire", "release", "__enter__", "__exit__"), ())
    semaphore = check_subclass(kind, 2, unmade=calls)
    assert run_threads(semaphore.acquire, semaphore.acquire) == [True, True]
    assert semaphore.acquire(False) is False
    semaphore.release(2)
    if kind is BoundedSemaphore:
        with pytest.raises(ValueError, match="too many times"):
            semaphore.release()


@pytest.mark.parametrize("base", [Semaphore, BoundedSemaphore, threading.Semaphore])
def test_a_release_that_a_subclass_overrides(base):
    called = []

    class Noisy(base):
        def release(self, n=1):
            called.append(n)
            super().release(n)

    semaphore = Noisy()
    for _ in range(2):
        with semaphore:
            assert semaphore.acquire(False) is False
    assert called == [1, 1]


def test_a_bounded_one_stays_bounded():
    semaphore = BoundedSemaphore.__new__(BoundedSemaphore)
    Semaphore.__init__(semaphore, 1)
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release()


def test_no_more_inside_than_its_value():
    semaphore, inside = BoundedSemaphore(2), AtomicInt()

    def work():
        for _ in range(scaled(2000)):
            with semaphore:
                assert inside.add(1) < 2
                inside.sub(1)

    with Faster():
        run_threads(work, count=4)
    assert "value=2/2" in repr(semaphore)


def test_a_release_of_several_wakes_several():
    semaphore = Semaphore(0)

    def wake():
        wait_for_a_waiter()
        semaphore.release(3)

    assert run_threads(*[semaphore.acquire] * 3, wake)[:3] == [True] * 3
    assert not semaphore.acquire(False)


@both
def test_a_signal_ends_the_wait(on_signal, kind):
    semaphore = kind(1)
    semaphore.acquire()
    ends_by_a_signal(on_signal, semaphore.acquire)
    ends_by_a_signal(on_signal, lambda: semaphore.acquire(timeout=100))
    assert "value=0" in repr(semaphore)
    semaphore.release()
    assert semaphore.acquire(False)


def test_a_handler_that_returns_lets_it_wait_on(on_signal):
    semaphore, handled = Semaphore(0), []

    def handler(*_):
        handled.append(repr(semaphore))
        if len(handled) == 3:
            semaphore.release()

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    with semaphore:
        assert len(handled) >= 3
    semaphore.acquire()
    assert semaphore.acquire(timeout=0.1) is False


def test_no_release_is_lost_to_signals(on_signal):
    first, second = Semaphore(1), Semaphore(0)

    def play(own, other):
        for _ in range(scaled(5000)):
            assert own.acquire()
            other.release()

    run_in_a_storm(on_signal, lambda: play(first, second), lambda: play(second, first))
    assert first.acquire(False)
    assert not second.acquire(False)


def test_a_child_forgets_who_waits():
    semaphore = Semaphore(0)
    waiter = threading.Thread(target=semaphore.acquire)
    waiter.start()
    wait_for_a_waiter()

    def child():
        assert semaphore.acquire(timeout=0.01) is False
        semaphore.release(2)
        assert semaphore.acquire() is semaphore.acquire() is True
        assert semaphore.acquire(False) is False

    run_in_fork(child)
    semaphore.release()
    waiter.join()


@with_lock_tests
def test_the_lock_tests_of_cpython():
    run_lock_tests("SemaphoreTests", 11, semtype=Semaphore)


@with_lock_tests
def test_the_lock_tests_of_cpython_for_a_bounded_one():
    run_lock_tests("BoundedSemaphoreTests", 11, semtype=BoundedSemaphore)
