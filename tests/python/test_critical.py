# SPDX-License-Identifier: BSD-2-Clause
"""critical_section: exclusion, nesting in any order, suspension, misuse."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import weakref

import pytest
from concurrency import Faster, run_threads, scaled, wait_for_an_alarm
from latchwork import Mutex, critical_section


class Account:
    def __init__(self) -> None:
        self.balance = 0
        self.inside = False


def wait_until(ready):
    for _ in range(20_000):
        if ready():
            return
        time.sleep(0.001)
    raise AssertionError("it never came")


def is_free(thing):
    """Whether another thread can be inside of a section on it at once; that ends soon after."""
    entered = threading.Event()

    def enter():
        with critical_section(thing):
            entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return entered.wait(0.2)


def test_one_thread_at_a_time():
    account, turns = Account(), scaled(3_000)

    def count():
        for _ in range(turns):
            with critical_section(account):
                assert not account.inside
                account.inside = True
                balance = account.balance
                account.balance = balance + 1
                account.inside = False

    with Faster():
        run_threads(count, count=4)
    assert account.balance == 4 * turns


def test_several_objects_of_any_kind_in_any_order():
    accounts, turns = [Account() for _ in range(6)], scaled(1_500)

    def move(*indices):
        chosen = [accounts[i] for i in indices]
        for _ in range(turns):
            with critical_section(*chosen, None, 1, "x", chosen[0]):
                for one in chosen:
                    assert not one.inside
                    one.inside = True
                chosen[0].balance -= 1
                chosen[-1].balance += 1
                for one in chosen:
                    one.inside = False

    with Faster():
        run_threads(
            lambda: move(0, 1),
            lambda: move(1, 0),
            lambda: move(2, 1, 0),
            lambda: move(5, 4, 3, 2, 1, 0),
            lambda: move(3, 5),
        )
    assert sum(one.balance for one in accounts) == 0


def test_one_inside_of_another_in_opposite_orders():
    accounts, turns = [Account() for _ in range(3)], scaled(1_500)

    def nest(first, second):
        for _ in range(turns):
            with critical_section(first):
                first.balance += 1
                with critical_section(second):
                    second.balance += 1
                    with critical_section(first):
                        first.balance += 1
                first.balance += 1

    a, b, c = accounts
    with Faster():
        run_threads(lambda: nest(a, b), lambda: nest(b, c), lambda: nest(c, a), lambda: nest(b, a))
    assert [one.balance for one in accounts] == [5 * turns, 7 * turns, 4 * turns]


def test_it_is_suspended_in_a_wait_of_latchwork():
    thing, mutex = Account(), Mutex()
    steps = []

    def wait_inside():
        with critical_section(thing):
            steps.append("in")
            with mutex:
                steps.append("locked")
            assert not is_free(thing)

    def enter_meanwhile():
        wait_until(lambda: steps == ["in"])
        with critical_section(thing):  # only when the other one sleeps
            steps.append("meanwhile")
        mutex.release()

    mutex.acquire()
    run_threads(wait_inside, enter_meanwhile)
    assert steps == ["in", "meanwhile", "locked"]


def test_it_is_kept_in_other_waits():
    thing = Account()
    with critical_section(thing):
        time.sleep(0.01)
        assert not is_free(thing)
    assert is_free(thing)


def test_a_generator_may_be_closed_inside_of_another_section():
    outer, inner = Account(), Account()

    def inside():
        with critical_section(outer):
            yield

    generator = inside()
    next(generator)
    with critical_section(inner):
        generator.close()
        assert not is_free(outer)  # it ends with the section inside of it
    assert is_free(inner)
    assert is_free(outer)


def test_misuse():
    section = critical_section(1, 2, 3, 4, 5, 6)
    with pytest.raises(RuntimeError, match="has not been entered"):
        section.__exit__(None, None, None)
    with section:
        assert "entered" in repr(section)
        with pytest.raises(RuntimeError, match="entered already"):
            section.__enter__()
        with pytest.raises(RuntimeError, match="another thread"):
            run_threads(lambda: section.__exit__(None, None, None))
    with section:
        pass
    with pytest.raises(RuntimeError, match="has not been entered"):
        section.__exit__(None, None, None)
    with pytest.raises(TypeError):
        critical_section(thing=1)
    with critical_section():
        pass


def test_an_exception_leaves_it():
    thing = Account()
    with pytest.raises(ZeroDivisionError), critical_section(thing):
        raise ZeroDivisionError
    assert is_free(thing)


def test_references():
    thing = Account()
    section = critical_section(thing, thing)
    before = sys.getrefcount(section)
    with section:
        pass
    assert sys.getrefcount(section) == before
    gone = weakref.ref(thing)
    thing.section = section
    del section, thing
    gc.collect()
    assert gone() is None
    dropped = Account()
    critical_section(dropped).__enter__()  # never left: stays, and stays entered
    gc.collect()
    assert not is_free(dropped)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_ctrl_c_ends_a_wait():
    thing, outer, holds, may_go = Account(), Account(), threading.Event(), threading.Event()

    def hold():
        with critical_section(thing):
            holds.set()
            may_go.wait()

    class Interrupt(Exception):
        pass

    def handler(number, frame):
        raise Interrupt

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with critical_section(outer):
            section = critical_section(thing)
            with pytest.raises(Interrupt):
                wait_for_an_alarm(section.__enter__)
            assert "not entered" in repr(section)
            assert not is_free(outer)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        may_go.set()
        thread.join()
    with section:
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_is_inside():
    thing = Account()
    section = critical_section(thing)
    with section:
        child = os.fork()
        if child == 0:
            inside = "entered" in repr(section) and "not" not in repr(section)
            with critical_section(thing):
                section.__exit__(None, None, None)  # when the inner one ends
            os._exit(0 if inside and "not entered" in repr(section) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_free(thing)
