# SPDX-License-Identifier: BSD-2-Clause
"""Latch: opens once."""

from __future__ import annotations

import gc
import signal
import threading

import pytest
from concurrency import (
    Faster,
    check_object,
    ends_by_a_signal,
    run_in_fork,
    run_threads,
    scaled,
    wait_for_a_waiter,
)
from latchwork import AtomicInt, Latch
from test_event import LIMITS, NAN, NUMBERS, TOO_LONG, outcome

LARGEST = 2**31 - 1


@pytest.mark.parametrize(("limit", "expected"), LIMITS)
def test_limits(limit, expected):
    assert outcome(Latch(1).wait, limit) == expected
    assert outcome(Latch(2).arrive_and_wait, timeout=limit) == expected


@pytest.mark.parametrize("limit", NUMBERS)
def test_no_limit_matters_for_the_last(limit):
    latch = Latch(1)
    assert latch.arrive_and_wait(limit) is latch.wait(limit) is True


@pytest.mark.parametrize("limit", TOO_LONG)
def test_a_limit_that_is_too_long_changes_nothing(limit):
    latch = Latch(2)
    assert outcome(latch.arrive_and_wait, limit) is OverflowError
    assert latch.count == 2


def test_not_a_number_is_no_time():
    assert Latch(1).wait(NAN) is Latch(2).arrive_and_wait(NAN) is False


def test_arguments():
    for wrong, error in (
        (-1, ValueError),
        (-(2**100), ValueError),
        (LARGEST + 1, OverflowError),
        (2**100, OverflowError),
        ("1", TypeError),
        (None, TypeError),
    ):
        with pytest.raises(error):
            Latch(wrong)
    for args, kwargs in (((), {}), ((1, 2), {}), ((), {"other": 1})):
        with pytest.raises(TypeError):
            Latch(*args, **kwargs)
    latch = Latch(count=LARGEST)
    for args, kwargs in (((1, 2), {}), ((), {"m": 1}), (("1",), {}), ((None,), {})):
        with pytest.raises(TypeError):
            latch.count_down(*args, **kwargs)
    assert latch.count == LARGEST
    with pytest.raises(AttributeError):
        latch.count = 1


def test_counting_down():
    latch = Latch(4)
    assert latch.count_down() is None
    latch.count_down(2)
    latch.count_down(n=0)
    for wrong in (2, 2**32 - 1, 2**32, 2**100):
        with pytest.raises(ValueError, match="more than is left"):
            latch.count_down(wrong)
    for wrong in (-1, -(2**100)):
        with pytest.raises(ValueError, match="must not be negative"):
            latch.count_down(wrong)
    assert latch.count == 1
    assert latch.try_wait() is latch.wait(0) is latch.wait(0.01) is False
    assert repr(latch).endswith("count=1>")
    assert latch.arrive_and_wait() is True
    assert latch.try_wait() is latch.wait() is latch.wait(0) is True
    assert latch.count == 0
    for too_many in (latch.count_down, latch.arrive_and_wait):
        with pytest.raises(ValueError, match="more than is left"):
            too_many()
    assert Latch(0).wait() is True


def test_of_what_kind_it_is():
    check_object(Latch(1))


def test_all_that_wait_return():
    latch = Latch(3)

    def count_down():
        wait_for_a_waiter()
        latch.count_down(2)

    assert run_threads(latch.wait, latch.wait, latch.arrive_and_wait, count_down)[:3] == [True] * 3


def test_of_many_last_counts_one_is_right():
    refused = AtomicInt()

    def work(latch):
        try:
            latch.count_down()
        except ValueError:
            refused.add(1)
        assert latch.wait()

    with Faster():
        for _ in range(scaled(100)):
            latch = Latch(2)
            run_threads(lambda latch=latch: work(latch), count=3)
    assert refused.load() == scaled(100)


def test_f10_f14_a_waiter_is_detached():
    latch = Latch(1)
    thread = threading.Thread(target=latch.wait)
    thread.start()
    wait_for_a_waiter()
    for _ in range(5):
        gc.collect()
    latch.count_down()
    thread.join()


@pytest.mark.parametrize("limit", [None, 100])
def test_a_signal_ends_the_wait(on_signal, limit):
    latch = Latch(5)
    ends_by_a_signal(on_signal, lambda: latch.wait(limit))
    assert latch.count == 5
    ends_by_a_signal(on_signal, lambda: latch.arrive_and_wait(limit))
    assert latch.count == 3  # it has arrived, each time


def test_a_handler_that_returns_lets_it_wait_on(on_signal):
    latch, handled = Latch(3), []

    def handler(*_):
        handled.append(latch.count)
        latch.count_down()
        if latch.count == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert latch.wait() is True
    assert handled == [3, 2, 1]


def test_a_child_forgets_who_waits():
    latch = Latch(2)
    waiter = threading.Thread(target=latch.wait)
    waiter.start()
    wait_for_a_waiter()

    def child():
        assert latch.arrive_and_wait(0.01) is False
        assert latch.arrive_and_wait() is True

    run_in_fork(child)
    assert latch.count == 2
    latch.count_down(2)
    waiter.join()
