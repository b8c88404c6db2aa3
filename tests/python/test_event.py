# SPDX-License-Identifier: BSD-2-Clause
"""Event: what threading.Event does, and what CPython's own tests ask of one."""

from __future__ import annotations

import gc
import os
import signal
import threading
import warnings

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
from latchwork import Event

# What a wait may be told of its limit: nothing waits long, for the event is not set.
LIMITS = [
    (0, False),
    (0.0, False),
    (1e-9, False),
    (0.01, False),
    (-1, False),
    (-1.0, False),
    (-0.5, False),
    (-(2**30), False),
    (-(10**30), False),
    (-1e300, False),
    (float("-inf"), False),
    (2**63, OverflowError),
    (2**100, OverflowError),
    (1e18, OverflowError),
    (1e100, OverflowError),
    (float("inf"), OverflowError),
    ("1", TypeError),
    ([], TypeError),
]
NAN = float("nan")
NUMBERS = [*(limit for limit, expected in LIMITS if expected is not TypeError), NAN]
TOO_LONG = [limit for limit, expected in LIMITS if expected is OverflowError]


def outcome(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(("limit", "expected"), LIMITS)
def test_limits_as_threading_event(limit, expected):
    assert outcome(Event().wait, limit) == expected
    assert outcome(Event().wait, timeout=limit) == expected
    assert outcome(threading.Event().wait, limit) == expected


@pytest.mark.parametrize("kind", [Event, threading.Event])
@pytest.mark.parametrize("limit", NUMBERS)
def test_no_limit_matters_once_it_is_set(kind, limit):
    event = kind()
    event.set()
    assert event.wait(limit) is True


@pytest.mark.parametrize("kind", [Event, threading.Event])
def test_not_a_number_is_no_time(kind):
    assert kind().wait(NAN) is False


def test_limits_that_differ_from_threading():
    class Index:
        def __index__(self):
            return 0

    assert outcome(Event().wait, Index()) is False
    assert outcome(threading.Event().wait, Index()) is TypeError
    for event, expected in ((Event(), TypeError), (threading.Event(), True)):
        event.set()
        assert outcome(event.wait, "1") is expected


def test_wrong_arguments():
    for args, kwargs in (((1, 2), {}), ((), {"other": 1}), ((1,), {"timeout": 1})):
        with pytest.raises(TypeError):
            Event().wait(*args, **kwargs)
    with pytest.raises(TypeError):
        Event(1)


def test_set_and_clear():
    event = Event()
    for _ in range(2):
        assert event.is_set() is False
        assert event.clear() is None
        assert event.set() is None
        assert event.set() is None
        assert event.is_set() is True
        assert event.wait() is event.wait(None) is event.wait(0) is event.wait(-1) is True
        event.clear()


def test_of_what_kind_it_is():
    check_object(Event(), final=False)


def test_a_subclass():
    event = check_subclass(Event)
    assert run_threads(event.wait, event.set) == [True, None]


def test_its_old_name():
    event = Event()
    event.set()
    with pytest.warns(DeprecationWarning, match=r"use is_set\(\) instead"):
        assert event.isSet() is True


def test_all_that_wait_return():
    event = Event()

    def wake():
        wait_for_a_waiter()
        event.set()
        event.clear()

    assert run_threads(*[event.wait] * 4, lambda: event.wait(100), wake)[:5] == [True] * 5
    assert not event.is_set()


def test_ping_pong():
    first, second = Event(), Event()

    def play(own, other):
        for _ in range(scaled(500)):
            assert own.wait()
            own.clear()
            other.set()

    first.set()
    with Faster():
        run_threads(lambda: play(first, second), lambda: play(second, first))


def test_f10_f14_a_waiter_is_detached():
    event = Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    wait_for_a_waiter()
    for _ in range(5):
        gc.collect()
    event.set()
    thread.join()


@pytest.mark.parametrize("limit", [None, 100])
def test_a_signal_ends_the_wait(on_signal, limit):
    event = Event()
    ends_by_a_signal(on_signal, lambda: event.wait(limit))
    assert not event.is_set()
    event.set()
    assert event.wait()


def test_a_handler_that_returns_lets_it_wait_on(on_signal):
    event, handled = Event(), []

    def handler(*_):
        handled.append(event.is_set())
        if len(handled) == 3:
            event.set()

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert event.wait() is True
    assert handled[:3] == [False] * 3
    event.clear()
    assert event.wait(0.1) is False


def test_set_and_cleared_by_a_handler(on_signal):
    """The waiter is not asleep while the handler runs, and returns all the same."""
    event = Event()

    def handler(*_):
        event.set()
        event.clear()

    for limit in (None, 100):
        on_signal(handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert event.wait(limit) is True


def test_no_set_is_lost_to_signals(on_signal):
    first, second = Event(), Event()

    def play(own, other):
        for _ in range(scaled(5000)):
            assert own.wait()
            own.clear()
            other.set()

    first.set()
    run_in_a_storm(on_signal, lambda: play(first, second), lambda: play(second, first))


def test_a_child_forgets_who_waits():
    event = Event()
    waiter = threading.Thread(target=event.wait)
    waiter.start()
    wait_for_a_waiter()

    def child():
        assert event.wait(0.01) is False
        event._at_fork_reinit()
        assert not event.is_set()
        event.set()
        event._at_fork_reinit()
        assert event.wait() is True

    run_in_fork(child)
    run_in_fork(lambda: (event.set(), event.wait()))
    assert not event.is_set()
    event.set()
    waiter.join()


def test_a_handler_that_forks_in_a_wait(on_signal):
    """Both processes wait on."""
    event, children = Event(), []

    def handler(*_):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            children.append(os.fork())
        event.set()

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    assert event.wait() is True
    if children == [0]:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7


@with_lock_tests
def test_the_lock_tests_of_cpython():
    # test_at_fork_reinit looks into the condition that threading.Event is made of.
    run_lock_tests("EventTests", 5, ("test_at_fork_reinit",), eventtype=Event)
