# SPDX-License-Identifier: BSD-2-Clause
"""Condition: what threading.Condition does, and what CPython's own tests ask of one."""

from __future__ import annotations

import gc
import signal
import threading
import weakref

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
    wait_for_a_waiter,
    wait_until,
    with_lock_tests,
)
from latchwork import AtomicInt, Condition, Mutex, RMutex
from test_event import LIMITS, NAN, NUMBERS, TOO_LONG, outcome

KINDS = [Mutex, RMutex, threading.Lock, threading.RLock]
all_kinds = pytest.mark.parametrize("kind", KINDS, ids=["Mutex", "RMutex", "Lock", "RLock"])
# The two ways to wait; for tests that take their time.
one_of_each = pytest.mark.parametrize("kind", [RMutex, threading.Lock], ids=["RMutex", "Lock"])


@all_kinds
@pytest.mark.parametrize(("limit", "expected"), LIMITS)
def test_limits_as_threading_condition(kind, limit, expected):
    for condition in (Condition(kind()), threading.Condition(kind())):
        with condition:
            assert outcome(condition.wait, limit) == expected
            assert outcome(condition.wait, timeout=limit) == expected
            assert outcome(condition.wait_for, lambda: 0, limit) == expected


@all_kinds
@pytest.mark.parametrize("limit", NUMBERS)
def test_no_limit_matters_where_the_predicate_is_true(kind, limit):
    for condition in (Condition(kind()), threading.Condition(kind())):
        assert condition.wait_for(lambda: 5, limit) == 5


@all_kinds
@pytest.mark.parametrize("limit", TOO_LONG)
def test_a_limit_that_is_too_long_changes_nothing(kind, limit):
    for condition in (Condition(kind()), threading.Condition(kind())):
        assert outcome(condition.wait, limit) is RuntimeError
        assert outcome(condition.wait_for, lambda: 0, limit) is RuntimeError
        asked = iter([0])
        with condition:
            assert outcome(condition.wait, limit) is OverflowError
            assert outcome(condition.wait_for, asked.__next__, limit) is OverflowError
            assert condition._is_owned()
            condition.notify()  # nobody waits
            assert condition.wait(0.01) is False
        assert not condition._is_owned()


@all_kinds
def test_not_a_number_is_no_time(kind):
    for condition in (threading.Condition(kind()), Condition(kind())):
        with condition:
            assert condition.wait(NAN) is False
    with condition:
        assert condition.wait_for(lambda: 0, NAN) == 0  # threading's does not return


def test_arguments():
    for args, kwargs in (((1, 2), {}), ((), {"other": 1})):
        with pytest.raises(TypeError):
            Condition(*args, **kwargs)
    for wrong in (1, object(), "lock"):
        with pytest.raises(TypeError, match="needs a lock"):
            Condition(wrong)
    condition = Condition(lock=None)
    with condition:
        for call in (
            lambda: condition.wait(1, 2),
            lambda: condition.wait(other=1),
            lambda: condition.wait_for(),
            lambda: condition.wait_for(1, 2, 3),
            lambda: condition.wait_for(None),
            lambda: condition.wait_for(timeout=1),
            lambda: condition.notify(1, 2),
            lambda: condition.notify("1"),
            lambda: condition.notify(1.5),
            lambda: condition.notify_all(1),
        ):
            with pytest.raises(TypeError):
                call()
        for n in (0, -1, 2**100, -(2**100)):
            assert condition.notify(n) is None


@all_kinds
def test_the_lock_is_taken_and_dropped(kind):
    lock = kind()
    condition = Condition(lock)
    assert repr(condition) == f"<latchwork.Condition({lock!r})>"
    assert condition.acquire() is True
    assert run_threads(lambda: lock.acquire(False)) == [False]
    assert condition._is_owned() is True
    assert condition.release() is None
    assert condition._is_owned() is False
    with condition as entered:
        assert entered is True
        assert run_threads(lambda: condition.acquire(blocking=False)) == [False]
        assert run_threads(lambda: condition.acquire(timeout=0.01)) == [False]
    assert lock.acquire(False)
    lock.release()
    with pytest.raises(RuntimeError):
        condition.release()


@all_kinds
def test_only_who_holds_the_lock(kind):
    condition = Condition(kind())
    with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
        condition.wait()
    with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
        condition.wait_for(lambda: False)
    for notify in (condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
            notify()
    assert condition.wait_for(lambda: 7) == 7  # as threading's: it has nothing to wait for


def test_only_the_owner_of_a_recursive_one():
    condition, held, ends = Condition(), threading.Event(), threading.Event()

    def hold():
        with condition:
            held.set()
            ends.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    for call in (condition.wait, condition.notify, condition.notify_all, condition.release):
        with pytest.raises(RuntimeError):
            call()
    ends.set()
    thread.join()


def test_f9_a_mutex_after_a_wait_is_held_once():
    mutex = Mutex()
    condition = Condition(mutex)
    with condition:
        condition.wait(0.01)
        condition.wait(0)
        assert mutex.locked()
    assert not mutex.locked()
    with pytest.raises(RuntimeError):
        mutex.release()
    assert mutex.acquire(False)


def test_all_levels_are_let_go_of_and_taken_again():
    condition = Condition(RMutex())
    with condition, condition, condition:
        assert condition._recursion_count() == 3

        def notify():
            with condition:
                condition.notify()

        thread = threading.Thread(target=notify)
        thread.start()
        assert condition.wait() is True
        assert condition._recursion_count() == 3
        thread.join()
    assert condition._recursion_count() == 0


def test_of_what_kind_it_is():
    check_object(Condition(), final=False)


def test_a_subclass():
    calls = dict.fromkeys(
        ["acquire", "release", "locked", "__enter__", "__exit__", "wait", "notify", "notify_all"],
        (),
    )
    calls["wait_for"] = (bool,)
    calls |= dict.fromkeys(
        ["_is_owned", "_recursion_count", "_release_save", "_at_fork_reinit"], ()
    )
    calls["_acquire_restore"] = (1,)
    condition = check_subclass(Condition, Mutex(), unmade=calls)
    with condition:
        assert condition.wait(0) is False
        condition.notify()


def test_a_lock_of_a_subclass():
    """Its own methods are called."""
    called = []

    class Noisy(RMutex):
        def acquire(self, *args):
            called.append("acquire")
            return super().acquire(*args)

        __enter__ = acquire

        def release(self):
            called.append("release")
            super().release()

    condition = Condition(Noisy())
    with condition:
        assert condition.wait(0) is False
    condition.acquire()
    condition.release()
    assert called == ["acquire", "acquire", "release"]


# ---- threads ----


@all_kinds
def test_a_queue(kind):
    condition, queue, count = Condition(kind()), [], scaled(1000)

    def consume():
        taken = []
        for _ in range(count):
            with condition:
                while not queue:
                    assert condition.wait() is True
                taken.append(queue.pop(0))
        return taken

    def produce():
        for item in range(count):
            with condition:
                queue.append(item)
                condition.notify()

    with Faster():
        *taken, _, _ = run_threads(consume, consume, produce, produce)
    assert sorted(taken[0] + taken[1]) == sorted([*range(count), *range(count)])


@one_of_each
def test_as_many_as_are_notified_return(kind):
    condition, inside, returned = Condition(kind()), AtomicInt(), AtomicInt()
    counts: list[tuple[int, int]] = []

    def wait():
        with condition:
            inside.add(1)
            assert condition.wait() is True
            returned.add(1)

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: inside.load() == 5)
    wait_for_a_waiter()
    for n, expected in ((1, 1), (2, 3), (0, 3), (-1, 3)):
        with condition:
            condition.notify(n)
        wait_until(lambda expected=expected: returned.load() >= expected)
        wait_for_a_waiter()  # for one that returns without
        counts.append((returned.load(), expected))
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join()
    assert all(count == expected for count, expected in counts), counts


@one_of_each
def test_wait_for(kind):
    condition, state = Condition(kind()), []

    def work():
        for item in range(3):
            wait_for_a_waiter()
            with condition:
                state.append(item)
                condition.notify()

    def wait():
        with condition:
            assert condition.wait_for(lambda: len(state) >= 3 and state, timeout=100) is state
            assert condition.wait_for(list, timeout=0.01) == []
            with pytest.raises(ZeroDivisionError):
                condition.wait_for(lambda: 1 / 0)
            assert condition._is_owned()

    run_threads(wait, work)


def test_what_a_predicate_may_do():
    """It holds the lock of the condition, and nothing else."""
    condition, asked = Condition(), []

    def predicate():
        asked.append(condition._is_owned())
        condition.notify_all()
        condition.wait(0)
        with condition:
            gc.collect()
        if len(asked) == 3:
            raise KeyError
        return False

    with condition:
        assert condition.wait_for(predicate, 0) is False
        with pytest.raises(KeyError):
            condition.wait_for(predicate, 0.01)
    assert asked == [True] * 3


class Recorded:
    """A lock with what threading.Condition asks for, and nothing else."""

    def __init__(self):
        self.lock, self.log, self.broken = threading.Lock(), [], None

    def call(self, name, function, *args):
        self.log.append(name)
        if self.broken == name:
            raise ZeroDivisionError(name)
        return function(*args)

    def acquire(self, *args):
        return self.call("acquire", self.lock.acquire, *args)

    def release(self):
        return self.call("release", self.lock.release)

    def __enter__(self):
        return self.call("enter", self.lock.acquire)

    def __exit__(self, *args):
        assert len(args) == 3
        return self.call("exit", self.lock.release)


class Saved(Recorded):
    def _is_owned(self):
        return self.call("owned", self.lock.locked)

    def _release_save(self):
        self.call("save", self.lock.release)
        return "state"

    def _acquire_restore(self, state):
        assert state == "state"
        self.call("restore", self.lock.acquire)


@pytest.mark.parametrize("kind", [Recorded, Saved])
def test_another_lock_is_asked_as_by_threading(kind):
    logs = []
    for factory in (Condition, threading.Condition):
        lock = kind()
        with factory(lock) as _:
            condition = factory(lock)
            assert condition.wait(0) is False
            condition.notify()
        with pytest.raises(RuntimeError):
            condition.wait()
        logs.append(lock.log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("method", ["owned", "save", "restore"])
def test_what_another_lock_raises_comes_out(method):
    lock = Saved()
    condition = Condition(lock)
    condition.acquire()
    lock.broken = method
    with pytest.raises(ZeroDivisionError, match=method):
        condition.wait(0.01)
    assert lock.lock.locked() == (method != "restore")


def test_cycles_are_collected():
    lock = Recorded()
    lock.condition = Condition(lock)
    assert lock in gc.get_referents(lock.condition)
    references = weakref.ref(lock), weakref.ref(lock.condition)
    del lock
    gc.collect()
    assert references[0]() is references[1]() is None


# ---- signals and fork ----


@all_kinds
def test_a_signal_ends_the_wait(on_signal, kind):
    condition = Condition(kind())
    with condition:
        ends_by_a_signal(on_signal, condition.wait)
        assert condition._is_owned()
        ends_by_a_signal(on_signal, lambda: condition.wait_for(lambda: False, 100))
        assert condition._is_owned()
    assert not condition._is_owned()
    with condition:
        condition.notify()  # nobody waits
        assert condition.wait(0.01) is False


@all_kinds
def test_a_handler_runs_without_the_lock_and_lets_it_wait_on(on_signal, kind):
    condition, handled = Condition(kind()), []

    def handler(*_):
        assert condition.acquire(False)
        handled.append(None)
        if len(handled) == 3:
            condition.notify()
            signal.setitimer(signal.ITIMER_REAL, 0)
        condition.release()

    for limit in (None, 100):
        handled.clear()
        with condition:
            on_signal(handler)
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.01)
            assert condition.wait(limit) is True
        assert len(handled) == 3
    on_signal(lambda *_: None)
    with condition:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        assert condition.wait(0.05) is False


@all_kinds
def test_no_notification_is_lost_to_signals(on_signal, kind):
    condition, turn = Condition(kind()), [0]

    def play(own):
        for _ in range(scaled(5000)):
            with condition:
                while turn[0] != own:
                    assert condition.wait() is True
                turn[0] = 1 - own
                condition.notify()

    run_in_a_storm(on_signal, lambda: play(0), lambda: play(1))


@all_kinds
def test_a_child_forgets_who_waits(kind):
    condition = Condition(kind())

    def wait():
        with condition:
            condition.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for_a_waiter()

    def child():
        condition._at_fork_reinit()
        with condition:
            assert condition.wait(0.01) is False
            condition.notify_all()

    with condition:
        run_in_fork(child)
        condition.notify()
    thread.join()


# ---- CPython's tests ----


@with_lock_tests
def test_the_lock_tests_of_cpython():
    run_lock_tests("ConditionTests", 7, condtype=Condition)


@with_lock_tests
def test_the_lock_tests_of_cpython_for_its_default_lock():
    run_lock_tests("RLockTests", 18, locktype=Condition)


def test_a_chain_of_locks():
    check_chain(Condition)


@pytest.mark.parametrize("base", [Condition, threading.Condition])
def test_methods_that_a_subclass_overrides(base):
    called = []

    class Noisy(base):
        def wait(self, timeout=None):
            called.append(("wait", timeout))
            return super().wait(0)

        def notify(self, n=1):
            called.append("notify")
            super().notify(n)

    condition = Noisy()
    with condition:
        assert condition.wait_for(lambda: len(called) > 1) is True
        assert called == [("wait", None)] * 2
        assert condition.wait_for(lambda: len(called) > 2, 100) is True
        assert 0 < called[2][1] <= 100
        assert condition.wait_for(lambda: False, 1e-9) is False
        del called[:]
        condition.notify_all()
        with pytest.warns(DeprecationWarning, match=r"use notify_all\(\) instead"):
            condition.notifyAll()
    assert called == ["notify", "notify"]
