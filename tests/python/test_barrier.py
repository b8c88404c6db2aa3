# SPDX-License-Identifier: BSD-2-Clause
"""Barrier: what threading.Barrier does, and what CPython's own tests ask of one."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref

import latchwork
import pytest
from concurrency import (
    Faster,
    check_chain,
    check_object,
    check_subclass,
    ends_by_a_signal,
    run_in_a_storm,
    run_in_fork,
    run_lock_tests,
    run_threads,
    scaled,
    with_lock_tests,
)
from latchwork import Barrier, BrokenBarrierError
from test_event import LIMITS, NAN, NUMBERS, TOO_LONG, outcome

both = pytest.mark.parametrize("kind", [Barrier, threading.Barrier])


def start(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def await_waiters(barrier, count):
    while barrier.n_waiting < count:
        time.sleep(0.001)


def broken_wait(barrier, *args):
    with pytest.raises(BrokenBarrierError):
        barrier.wait(*args)


def test_the_exception_is_that_of_threading():
    assert latchwork.BrokenBarrierError is threading.BrokenBarrierError


def test_arguments():
    for wrong in (0, -1, -(2**100)):
        with pytest.raises(ValueError, match="parties must be > 0"):
            Barrier(wrong)
    for wrong in (2**32, 2**100):
        with pytest.raises(OverflowError):
            Barrier(wrong)
    for args, kwargs in (
        ((), {}),
        (("1",), {}),
        ((1.0,), {}),
        ((1, None, "1"), {}),
        ((1, None, 1, 2), {}),
        ((1,), {"other": 1}),
    ):
        with pytest.raises(TypeError):
            Barrier(*args, **kwargs)
    barrier = Barrier(parties=1, action=None, timeout=None)
    for args, kwargs in ((("1",), {}), ((1, 2), {}), ((), {"other": 1})):
        with pytest.raises(TypeError):
            barrier.wait(*args, **kwargs)
    assert barrier.wait() == barrier.wait(None) == barrier.wait(timeout=0) == 0
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (1, 0, False)
    with pytest.raises(AttributeError):
        barrier.parties = 2


def test_of_what_kind_it_is():
    check_object(Barrier(2), final=False)


def test_a_subclass():
    calls = dict.fromkeys(("wait", "reset", "abort", "parties", "n_waiting", "broken"), ())
    barrier = check_subclass(Barrier, 2, unmade=calls)
    assert sorted(run_threads(barrier.wait, barrier.wait)) == [0, 1]
    assert repr(barrier).endswith("waiters=0/2>")


def test_rounds():
    barrier, rounds = Barrier(3), scaled(200)

    def work():
        return [barrier.wait() for _ in range(rounds)]

    with Faster():
        for indices in zip(*run_threads(work, count=3), strict=True):
            assert sorted(indices) == [0, 1, 2]


@both
@pytest.mark.parametrize("limit", [limit for limit, expected in LIMITS if expected is False])
def test_a_limit_breaks_it(kind, limit):
    for barrier, args in ((kind(2), (limit,)), (kind(2, timeout=limit), ())):
        broken_wait(barrier, *args)
        assert barrier.broken
        assert "broken" in repr(barrier)
        broken_wait(barrier)
        barrier.reset()
        assert not barrier.broken


def test_not_a_number_is_no_time():
    broken_wait(Barrier(2), NAN)  # threading's does not return
    broken_wait(Barrier(2, timeout=NAN))


@both
@pytest.mark.parametrize("limit", NUMBERS)
def test_no_limit_matters_for_the_last(kind, limit):
    assert kind(1).wait(limit) == kind(1, timeout=limit).wait() == 0
    barrier = kind(2)
    thread = start(barrier.wait)
    await_waiters(barrier, 1)
    assert barrier.wait(limit) in (0, 1)
    thread.join()


@both
@pytest.mark.parametrize("limit", TOO_LONG)
def test_a_limit_that_is_too_long_changes_nothing(kind, limit):
    barrier = kind(3, timeout=limit)
    thread = start(broken_wait, barrier, 100)
    await_waiters(barrier, 1)
    for args in ((), (limit,)):
        assert outcome(barrier.wait, *args) is OverflowError
        assert (barrier.broken, barrier.n_waiting) == (False, 1)
    barrier.abort()
    thread.join()
    broken_wait(barrier)


def test_reset_and_abort_wake_who_waits():
    barrier = Barrier(2)
    for end, broken in ((barrier.reset, False), (barrier.abort, True)):
        thread = start(broken_wait, barrier)
        await_waiters(barrier, 1)
        end()
        thread.join()
        assert barrier.broken is broken
        assert barrier.n_waiting == 0


# ---- the action ----


def test_the_action_comes_before_anybody_goes_on():
    log = []
    barrier, fence = Barrier(3, lambda: log.append(barrier.n_waiting)), Barrier(3)

    def work():
        for count in range(1, 1 + scaled(100)):
            barrier.wait()
            assert log == [3] * count
            fence.wait()

    with Faster():
        run_threads(work, count=3)


def test_an_exception_of_the_action_breaks_it():
    def action():
        raise ZeroDivisionError

    barrier = Barrier(2, action)
    thread = start(broken_wait, barrier)
    await_waiters(barrier, 1)
    with pytest.raises(ZeroDivisionError):
        barrier.wait()
    thread.join()
    assert barrier.broken
    barrier = Barrier(1, 7)
    with pytest.raises(TypeError):
        barrier.wait()
    assert barrier.broken


def test_what_the_action_may_do():
    """It runs with no lock held; only to wait for itself is refused."""
    seen = []

    def action():
        seen.append((barrier.n_waiting, barrier.broken, repr(barrier)[-3:]))
        with pytest.raises(RuntimeError, match="cannot wait"):
            barrier.wait()
        gc.collect()
        if len(seen) == 2:
            barrier.abort()
        if len(seen) == 3:
            barrier.reset()

    barrier = Barrier(1, action)
    assert barrier.wait() == 0
    broken_wait(barrier)
    assert barrier.broken
    barrier.reset()
    broken_wait(barrier)
    assert not barrier.broken
    assert barrier.wait() == 0
    assert [waiting for waiting, _, _ in seen] == [1] * 4


def test_cycles_are_collected():
    class Action:
        def __call__(self):
            pass

    action = Action()
    action.barrier = Barrier(1, action)
    action.barrier.wait()
    reference = weakref.ref(action.barrier), weakref.ref(action)
    assert action in gc.get_referents(action.barrier)
    del action
    gc.collect()
    assert reference[0]() is reference[1]() is None


# ---- signals and fork ----


@pytest.mark.parametrize("limit", [None, 100])
def test_a_signal_ends_the_wait(on_signal, limit):
    barrier = Barrier(2)
    ends_by_a_signal(on_signal, lambda: barrier.wait(limit))
    assert (barrier.broken, barrier.n_waiting) == (False, 0)
    thread = start(barrier.wait)
    assert barrier.wait() in (0, 1)
    thread.join()


def test_a_handler_that_returns_lets_it_wait_on(on_signal):
    barrier, threads = Barrier(2), []

    def handler(*_):
        threads.append(start(barrier.wait) if len(threads) == 2 else None)
        if len(threads) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert barrier.wait() in (0, 1)
    threads[2].join()
    on_signal(lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    broken_wait(barrier, 0.1)


@pytest.mark.parametrize("end", [Barrier.reset, Barrier.abort])
def test_a_handler_that_resets_it_ends_the_wait(on_signal, end):
    barrier = Barrier(2)
    on_signal(lambda *_: end(barrier))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    broken_wait(barrier)
    assert barrier.broken == (end is Barrier.abort)


def test_no_round_is_lost_to_signals(on_signal):
    log = []
    barrier = Barrier(2, lambda: log.append(None))

    def play():
        for _ in range(scaled(5000)):
            assert barrier.wait() in (0, 1)

    run_in_a_storm(on_signal, play, play)
    assert len(log) == scaled(5000)
    assert (barrier.n_waiting, barrier.broken) == (0, False)


def test_a_child_resets_what_others_waited_for():
    barrier = Barrier(2)
    thread = start(barrier.wait)
    await_waiters(barrier, 1)

    def child():
        barrier.reset()
        assert barrier.n_waiting == 0
        broken_wait(barrier, 0.01)

    run_in_fork(child)
    assert barrier.wait() in (0, 1)
    thread.join()


@with_lock_tests
def test_the_lock_tests_of_cpython():
    run_lock_tests("BarrierTests", 11, barriertype=Barrier)


def test_a_chain_of_actions():
    check_chain(lambda action: Barrier(1, action))
