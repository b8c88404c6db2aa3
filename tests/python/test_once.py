# SPDX-License-Identifier: BSD-2-Clause
"""Once: done by whichever thread comes first."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from concurrency import (
    Faster,
    check_chain,
    check_object,
    ends_by_a_signal,
    run_in_fork,
    run_threads,
    scaled,
    wait_for_a_waiter,
)
from latchwork import AtomicInt, Once


def fail():
    raise ZeroDivisionError


def never():
    raise AssertionError("it was done already")


def test_called_once():
    once = Once()
    assert once.done is False
    result = once.call(lambda *args, **kwargs: [args, kwargs], 1, 2, a=3, function=4)
    assert result == [(1, 2), {"a": 3, "function": 4}]
    assert once.done is True
    assert once.call(never) is result
    assert once.call(None) is result
    once = Once()
    assert once.call(lambda: None) is None
    assert once.call(never) is None


def test_arguments():
    once = Once()
    for wrong in (
        once.call,
        lambda: once.call(function=fail),
        lambda: once.call(7),
        lambda: Once(1),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(AttributeError):
        once.done = True
    assert not once.done


def test_of_what_kind_it_is():
    once = Once()
    check_object(once)
    assert repr(once).endswith("not done>")
    once.call(list)
    assert repr(once).endswith(" done>")


def test_what_fails_is_tried_again():
    once = Once()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            once.call(fail)
        assert not once.done
    assert once.call(int) == 0


def test_it_does_not_wait_for_itself():
    once = Once()

    def run():
        assert not once.done
        with pytest.raises(RuntimeError, match="by what it runs"):
            once.call(never)
        return 1

    assert once.call(run) == 1
    outer = Once()
    with pytest.raises(RuntimeError):
        outer.call(lambda: outer.call(never))
    assert not outer.done


def test_one_of_many_threads_runs_it():
    ran = AtomicInt()

    def run():
        ran.add(1)
        return object()

    with Faster():
        for count in range(1, 1 + scaled(100)):
            once = Once()
            results = run_threads(lambda once=once: once.call(run), count=4)
            assert len(set(results)) == 1
            assert ran.load() == count


def test_each_failure_goes_to_who_ran_it():
    once, tries = Once(), AtomicInt()

    def run():
        wait_for_a_waiter()
        return 1 // max(tries.add(1) - 1, 0)

    def call():
        try:
            return once.call(run)
        except ZeroDivisionError:
            return 0

    assert sorted(run_threads(call, count=5)) == [0, 0, 1, 1, 1]


def test_f10_f14_a_waiter_is_detached():
    once, begun, ends = Once(), threading.Event(), threading.Event()

    def run():
        begun.set()
        ends.wait()

    threads = [threading.Thread(target=once.call, args=(run,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    wait_for_a_waiter()
    for _ in range(5):
        gc.collect()
    ends.set()
    for thread in threads:
        thread.join()
    assert once.done


def test_cycles_are_collected():
    class Result:
        pass

    once = Once()
    result = once.call(Result)
    result.once = once
    assert result in gc.get_referents(once)
    references = weakref.ref(once), weakref.ref(result)
    del once, result
    gc.collect()
    assert references[0]() is references[1]() is None


class Running:
    """Another thread runs it within the block."""

    def __init__(self, once):
        self.begun, self.ends = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=once.call, args=(self.run,))

    def run(self):
        self.begun.set()
        self.ends.wait()
        return "parent"

    def __enter__(self):
        self.thread.start()
        self.begun.wait()

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


def test_a_signal_ends_the_wait(on_signal):
    once = Once()
    with Running(once):
        ends_by_a_signal(on_signal, lambda: once.call(never))
        assert not once.done
    assert once.call(never) == "parent"


def test_a_child_runs_what_another_thread_ran():
    once = Once()

    def child():
        assert not once.done
        assert once.call(lambda: "child") == "child"
        assert once.call(never) == "child"

    with Running(once):
        run_in_fork(child)
    assert once.call(never) == "parent"


def test_a_fork_inside_of_a_run():
    once, log = Once(), []

    def run():
        run_in_fork(lambda: log.append(once.done))
        return 1

    assert once.call(run) == 1


def test_a_chain_of_results():
    def link(result):
        once = Once()
        once.call(lambda: result)
        return once

    check_chain(link)
