# SPDX-License-Identifier: BSD-2-Clause
"""RWLock: many readers or one writer, and no misuse that ends the process."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import random
import signal
import sys
import threading
import time
import weakref

import pytest
from concurrency import (
    Faster,
    check_object,
    ends_by_a_signal,
    run_in_fork,
    run_python,
    run_threads,
    scaled,
    wait_for_a_waiter,
)
from latchwork import AtomicInt, RWLock, RWLockReader, RWLockWriter
from test_mutex import ARGUMENTS


class Held:
    """Another thread is inside of a side of the lock within the block."""

    def __init__(self, side):
        self.side, self.is_held, self.ends = side, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold)

    def hold(self):
        with self.side:
            self.is_held.set()
            self.ends.wait()

    def __enter__(self):
        self.thread.start()
        self.is_held.wait()

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


class Waiting:
    """Another thread waits for a writer's turn within the block, in which readers are inside."""

    def __init__(self, lock):
        self.lock, self.got = lock, AtomicInt()
        self.thread = threading.Thread(target=self.wait)

    def wait(self):
        with self.lock.write():
            self.got.add(1)

    def __enter__(self):
        self.thread.start()
        while self.lock.acquire_read(False):  # until there is a writer to wait behind
            self.lock.release_read()
            time.sleep(0.001)
        return self

    def __exit__(self, *_):
        self.thread.join()
        assert self.got.load() == 1


def state(lock):
    return repr(lock).split()[0][1:], lock.locked(), lock.write_locked()


FREE = ("unlocked", False, False)
READ = ("read-locked", True, False)
WRITTEN = ("write-locked", True, True)


def give_up_all(lock):
    """How many read locks and write locks there were."""
    counts = []
    for release in (lock.release_read, lock.release_write):
        counts.append(0)
        try:
            while True:
                release()
                counts[-1] += 1
        except RuntimeError:
            pass
    assert state(lock) == FREE
    assert lock.acquire_write(False)
    lock.release_write()
    return tuple(counts)


# ---- arguments ----


def outcome(function, args, kwargs):
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_arguments_as_threading_lock(args, kwargs):
    expected = outcome(threading.Lock().acquire, args, kwargs)
    lock = RWLock()
    assert outcome(lock.acquire_read, args, kwargs) == expected
    assert state(lock) == (READ if expected is True else FREE)
    lock = RWLock()
    assert outcome(lock.acquire_write, args, kwargs) == expected
    assert state(lock) == (WRITTEN if expected is True else FREE)


def test_messages():
    for name in ("acquire_read", "acquire_write"):
        with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword"):
            getattr(RWLock(), name)(other=1)
    for args, kwargs in (((1,), {}), ((), {"shared": True})):
        with pytest.raises(TypeError, match=r"RWLock\(\) takes no arguments"):
            RWLock(*args, **kwargs)


# ---- one thread ----


def test_lock_and_unlock():
    lock = RWLock()
    for _ in range(2):
        assert state(lock) == FREE
        assert lock.acquire_read() is True
        assert lock.acquire_read(timeout=10) is True
        assert state(lock) == READ
        assert lock.acquire_write(False) is False
        assert lock.acquire_write(timeout=0) is False
        assert lock.acquire_write(timeout=0.01) is False
        assert state(lock) == READ
        assert lock.release_read() is None
        assert state(lock) == READ
        lock.release_read()
        assert state(lock) == FREE
        assert lock.acquire_write() is True
        assert state(lock) == WRITTEN
        for acquire in (lock.acquire_read, lock.acquire_write):
            assert acquire(False) is False
            assert acquire(timeout=0) is False
            assert acquire(timeout=0.01) is False
        assert state(lock) == WRITTEN
        assert lock.release_write() is None


def test_with_statements():
    lock = RWLock()
    with lock.read() as entered:
        assert entered is True
        assert state(lock) == READ
    assert state(lock) == FREE
    with lock.write() as entered:
        assert entered is True
        assert state(lock) == WRITTEN
    assert state(lock) == FREE
    for side in (lock.read(), lock.write()):
        with pytest.raises(ZeroDivisionError), side:
            raise ZeroDivisionError
        assert state(lock) == FREE


def test_downgrade():
    lock = RWLock()
    lock.acquire_write()
    assert lock.downgrade() is None
    assert state(lock) == READ
    assert lock.acquire_read(False)
    assert not lock.acquire_write(False)
    assert give_up_all(lock) == (2, 0)


def test_try_upgrade():
    lock = RWLock()
    with lock.read():
        assert lock.try_upgrade() is True
        assert state(lock) == WRITTEN
        assert not lock.acquire_read(False)
        lock.downgrade()
        with Held(lock.read()):
            assert lock.try_upgrade() is False
            assert state(lock) == READ
        assert lock.try_upgrade() is True
        lock.downgrade()
    assert state(lock) == FREE


def test_a_with_statement_gives_up_what_it_took():
    lock = RWLock()
    with pytest.raises(RuntimeError, match="not locked for writing"), lock.write():
        lock.downgrade()
    assert give_up_all(lock) == (1, 0)
    with pytest.raises(RuntimeError, match="not locked for reading"), lock.read():
        lock.try_upgrade()
    assert give_up_all(lock) == (0, 1)


# ---- misuse ----


def misuses(lock):
    reading = [lock.release_read, lock.try_upgrade, lambda: lock.read().__exit__(None, None, None)]
    writing = [lock.release_write, lock.downgrade, lambda: lock.write().__exit__(None, None, None)]
    return reading, writing


def test_f9_misuse_is_an_error_and_changes_nothing():
    lock = RWLock()
    reading, writing = misuses(lock)
    for _ in range(2):
        for misuse in (*reading, *writing):
            with pytest.raises(RuntimeError, match="not locked for"):
                misuse()
            assert state(lock) == FREE
        with lock.write():
            for misuse in reading:
                with pytest.raises(RuntimeError, match="not locked for reading"):
                    misuse()
                assert state(lock) == WRITTEN
        with lock.read():
            for misuse in writing:
                with pytest.raises(RuntimeError, match="not locked for writing"):
                    misuse()
                assert state(lock) == READ


def test_f9_misuse_beside_one_that_waits():
    """The words of the lock count it already; what there is to release does not."""
    lock = RWLock()
    reading, writing = misuses(lock)
    lock.acquire_read()
    with Waiting(lock):
        for misuse in writing:
            with pytest.raises(RuntimeError):
                misuse()
        assert lock.try_upgrade() is False
        assert state(lock) == READ
        lock.release_read()
    with lock.write():
        waiters = [
            threading.Thread(target=lock.acquire_read, kwargs={"timeout": 100}) for _ in range(2)
        ]
        for waiter in waiters:
            waiter.start()
        for _ in range(scaled(2000)):
            for misuse in reading:
                with pytest.raises(RuntimeError):
                    misuse()
    for waiter in waiters:
        waiter.join()
    assert give_up_all(lock) == (2, 0)


@pytest.mark.parametrize("held", [1, 2])
def test_f9_of_many_releases_at_once_as_many_count_as_were_locked(held):
    lock = RWLock()

    def release():
        try:
            lock.release_read()
        except RuntimeError:
            return 0
        return 1

    with Faster():
        for _ in range(scaled(100)):
            for _ in range(held):
                lock.acquire_read()
            assert sum(run_threads(release, count=3)) == held
            assert state(lock) == FREE


def test_f9_read_locks_given_up_at_once():
    lock, count = RWLock(), scaled(50_000)
    for _ in range(4 * count):
        lock.acquire_read()

    def release():
        for _ in range(count):
            lock.release_read()

    def both():
        for _ in range(count):
            lock.release_read()
            lock.acquire_read()

    with Faster():
        run_threads(release, release, both)
    assert give_up_all(lock) == (2 * count, 0)


@pytest.mark.parametrize("name", ["read", "write"])
def test_f9_releases_that_race(name):
    lock, balance = RWLock(), AtomicInt()
    acquire, release = getattr(lock, "acquire_" + name), getattr(lock, "release_" + name)

    def work():
        count = 0
        for _ in range(scaled(60_000)):
            count += acquire(False)
            for _ in range(2):
                try:
                    release()
                except RuntimeError:
                    continue
                count -= 1
        balance.add(count)

    with Faster():
        run_threads(work, count=3)
    assert sum(give_up_all(lock)) == balance.load()


def test_readers_that_come_in_beside_a_downgrade():
    """None of them is forgotten, so each may give up its lock."""
    lock, ends = RWLock(), threading.Event()

    def change():
        for _ in range(scaled(20_000)):
            if lock.acquire_write(False):
                lock.downgrade()
                lock.try_upgrade() and lock.downgrade()
                lock.release_read()
        ends.set()

    def read():
        while not ends.is_set():
            for _ in range(50):
                if lock.acquire_read(False):
                    lock.release_read()

    with Faster():
        run_threads(change, read)
    assert give_up_all(lock) == (0, 0)


def test_f9_any_mixture_of_misuse():
    """Whatever threads do to it, the process goes on, and what is left to release is exact."""
    lock, readers, writers = RWLock(), AtomicInt(), AtomicInt()

    def acquire(call, count):
        if call(False):
            count.add(1)

    def release(call, count):
        call()
        count.sub(1)

    def downgrade():
        lock.downgrade()
        writers.sub(1)
        readers.add(1)

    def try_upgrade():
        if lock.try_upgrade():
            readers.sub(1)
            writers.add(1)

    steps = [
        lambda: acquire(lock.acquire_read, readers),
        lambda: acquire(lock.acquire_read, readers),
        lambda: acquire(lock.acquire_write, writers),
        lambda: release(lock.release_read, readers),
        lambda: release(lock.release_read, readers),
        lambda: release(lock.release_write, writers),
        downgrade,
        try_upgrade,
    ]

    def work():
        choose = random.Random(threading.get_ident()).choice
        for _ in range(scaled(15_000)):
            with contextlib.suppress(RuntimeError):
                choose(steps)()

    with Faster():
        run_threads(work, count=3)
    assert give_up_all(lock) == (readers.load(), writers.load())


# ---- objects ----


def test_of_what_kind_it_is():
    lock = RWLock()
    check_object(lock)
    assert "latchwork.RWLock object at 0x" in repr(lock)
    for kind, side in ((RWLockReader, lock.read()), (RWLockWriter, lock.write())):
        assert type(side) is kind
        check_object(side)
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            copy.copy(side)


def test_the_sides_are_made_once_and_no_cycle():
    lock = RWLock()
    assert lock.read() is lock.read()
    assert lock.write() is lock.write()
    before = sys.getrefcount(lock), sys.getrefcount(lock.read())
    for _ in range(100):
        with lock.read():
            pass
        with lock.write():
            pass
    assert (sys.getrefcount(lock), sys.getrefcount(lock.read())) == before
    reference = weakref.ref(lock)
    gc.disable()
    try:
        read, write = lock.read(), lock.write()
        del lock
        assert reference() is None
    finally:
        gc.enable()
    # They are sides of one lock still.
    with read:
        assert run_threads(lambda: write.__class__.__name__) == ["RWLockWriter"]
        waiter = threading.Thread(target=write.__enter__)
        waiter.start()
        wait_for_a_waiter()
        assert waiter.is_alive()
    waiter.join()
    del read
    write.__exit__(None, None, None)
    with write:
        pass
    with RWLock().read(), RWLock().write():
        pass


def test_a_weak_reference_to_a_side_ends_with_it():
    lock = RWLock()
    references = weakref.ref(lock.read()), weakref.ref(lock.write())
    assert (references[0](), references[1]()) == (lock.read(), lock.write())
    del lock
    assert references[0]() is references[1]() is None


def sides_alive():
    gc.collect()
    return sum(type(thing) in (RWLockReader, RWLockWriter) for thing in gc.get_objects())


def test_garbage():
    before = sides_alive()
    locks = [RWLock() for _ in range(100)]
    kept = [lock.read() for lock in locks[::5]] + [lock.write() for lock in locks[::4]]
    locks[0].acquire_read()
    locks[1].acquire_write()
    references = [weakref.ref(lock) for lock in locks]
    locks.append(locks)
    del locks
    # A writing side keeps its reading side; five locks have both kept.
    assert sides_alive() == before + 20 + 2 * 25 - 5
    assert not any(reference() for reference in references)
    del kept
    assert sides_alive() == before


def test_a_lock_that_its_last_user_drops():
    for _ in range(scaled(200)):
        holder = [RWLock()]

        def use(side, holder=holder):
            try:
                lock = holder[0]
            except IndexError:
                return
            with side(lock):
                holder.clear()

        run_threads(lambda: use(RWLock.read), lambda: use(RWLock.write))


# ---- threads ----


def test_exclusion():
    lock, inside = RWLock(), AtomicInt()
    pair = [0, 0]

    def change():
        pair[0] += 1
        assert inside.load() == 0
        pair[1] += 1

    def write():
        for _ in range(scaled(1500)):
            with lock.write():
                change()

    def upgrade():
        for _ in range(scaled(1500)):
            with lock.read():
                if lock.try_upgrade():
                    change()
                    lock.downgrade()
                else:
                    inside.add(1)
                    inside.sub(1)
                before = pair[0]
                assert pair[1] == before

    def read():
        for _ in range(scaled(3000)):
            with lock.read():
                inside.add(1)
                assert pair[0] == pair[1]
                inside.sub(1)

    with Faster():
        run_threads(write, upgrade, read, read)
    assert pair[0] == pair[1] >= scaled(1500)
    assert state(lock) == FREE


def test_readers_are_inside_together():
    lock, together = RWLock(), threading.Barrier(4)

    def read():
        with lock.read():
            together.wait(100)

    run_threads(read, count=4)
    assert state(lock) == FREE


def test_readers_that_come_wait_behind_a_writer():
    """Without an end of readers who come before the last one leaves, a writer gets its turn."""
    lock = RWLock()
    with lock.read():
        waiting = Waiting(lock)
        waiting.__enter__()
        assert not lock.acquire_read(False)
        assert not lock.acquire_read(timeout=0.01)
        assert waiting.got.load() == 0
    waiting.__exit__()

    baton, ends = threading.Semaphore(0), threading.Event()

    def relay():
        while not ends.is_set():
            with lock.read():
                baton.release()  # somebody else may enter before this one leaves
                baton.acquire(timeout=0.001)

    def write():
        for _ in range(5):
            with lock.write():
                pass
        ends.set()

    run_threads(relay, relay, relay, write)


def test_waiters_are_woken():
    lock, got = RWLock(), AtomicInt()

    def wait(side):
        with side:
            got.add(1)

    with lock.write():
        sides = [lock.read()] * 3 + [lock.write()] * 3
        threads = [threading.Thread(target=wait, args=(side,)) for side in sides]
        for thread in threads:
            thread.start()
        wait_for_a_waiter()
        assert got.load() == 0
    for thread in threads:
        thread.join()
    assert got.load() == 6


def test_downgrade_lets_readers_in_and_no_writer():
    lock, written = RWLock(), AtomicInt()

    def write():
        with lock.write():
            written.add(1)

    lock.acquire_write()
    writer = threading.Thread(target=write)
    writer.start()
    wait_for_a_waiter()
    lock.downgrade()
    wait_for_a_waiter()
    assert written.load() == 0
    assert lock.locked()
    lock.release_read()
    writer.join()
    lock.acquire_write()
    reader = threading.Thread(target=lock.acquire_read)
    reader.start()
    wait_for_a_waiter()
    lock.downgrade()
    reader.join()
    assert give_up_all(lock) == (2, 0)


def test_time_limits_beside_a_holder():
    lock = RWLock()
    with lock.write():
        waits = [lambda: lock.acquire_read(timeout=0.02), lambda: lock.acquire_write(timeout=0.02)]
        assert run_threads(*waits, count=2) == [False] * 4
    with Held(lock.read()):
        assert run_threads(lambda: lock.acquire_write(timeout=0.02), count=2) == [False] * 2
        # Writers that gave up stop no readers.
        assert lock.acquire_read(False)
        lock.release_read()
    assert give_up_all(lock) == (0, 0)


def test_f10_f14_a_waiter_is_detached():
    """If not, this would stand still: for the GIL, or for the free-threaded collector's pause."""
    lock = RWLock()
    for hold, wait, limit in (
        (lock.write, lock.acquire_read, {}),
        (lock.write, lock.acquire_write, {"timeout": 100}),
        (lock.read, lock.acquire_write, {}),
    ):
        thread = threading.Thread(target=wait, kwargs=limit)
        with hold():
            thread.start()
            wait_for_a_waiter()
            for _ in range(3):
                gc.collect()
        thread.join()
        assert lock.locked()
        give_up_all(lock)


def test_another_thread_may_release():
    """As with threading.Lock: what a thread holds when it ends stays locked until then."""
    lock = RWLock()
    run_threads(lock.acquire_read, count=3)
    assert state(lock) == READ
    assert not lock.acquire_write(timeout=0.01)
    assert run_threads(lock.try_upgrade, lock.release_read) == [False, None]
    assert give_up_all(lock) == (2, 0)
    run_threads(lock.acquire_write)
    assert state(lock) == WRITTEN
    assert not lock.acquire_read(timeout=0.01)
    run_threads(lock.downgrade)
    run_threads(lock.release_read)
    assert state(lock) == FREE


# ---- signals ----

WAITS = {
    "reader": (RWLock.write, lambda lock: lock.acquire_read()),
    "reader with a limit": (RWLock.write, lambda lock: lock.acquire_read(timeout=100)),
    "reader in a with statement": (RWLock.write, lambda lock: lock.read().__enter__()),
    "writer": (RWLock.write, lambda lock: lock.acquire_write()),
    "writer that waits for readers": (RWLock.read, lambda lock: lock.acquire_write()),
    "the same with a limit": (RWLock.read, lambda lock: lock.acquire_write(timeout=100)),
    "writer in a with statement": (RWLock.read, lambda lock: lock.write().__enter__()),
}


@pytest.mark.parametrize("which", WAITS)
def test_what_a_signal_handler_raises_ends_the_wait(on_signal, which):
    hold, wait = WAITS[which]
    lock = RWLock()
    with hold(lock):
        ends_by_a_signal(on_signal, lambda: wait(lock))
        if hold is RWLock.read:
            assert lock.acquire_read(False)
            lock.release_read()
    assert give_up_all(lock) == (0, 0)


@pytest.mark.parametrize("hold", ["acquire_read", "acquire_write"])
def test_a_handler_that_returns_lets_it_wait_on(on_signal, hold):
    lock, handled = RWLock(), []
    getattr(lock, hold)()

    def handler(*_):
        handled.append(lock.locked())
        if len(handled) == 3:
            getattr(lock, hold.replace("acquire", "release"))()

    on_signal(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert lock.acquire_write() is True
    assert handled == [True] * 3
    # The signals do not put the deadline off.
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    assert lock.acquire_write(timeout=0.1) is False
    assert lock.acquire_read(timeout=0.1) is False
    assert lock.acquire_write(False) is False
    lock.release_write()


# ---- fork, exit ----

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@needs_fork
def test_what_the_forking_thread_holds_the_child_holds():
    lock, other = RWLock(), RWLock()
    with lock.read(), other.write():

        def child():
            assert state(lock) == READ
            assert state(other) == WRITTEN
            other.downgrade()
            assert give_up_all(lock) == give_up_all(other) == (1, 0)

        run_in_fork(child)
        assert state(lock) == READ
        assert state(other) == WRITTEN


@needs_fork
def test_what_others_hold_at_a_fork_stays_locked_until_made_anew():
    read, written, waited = RWLock(), RWLock(), RWLock()

    def child():
        for lock in (read, written, waited):
            assert lock.locked()
            assert lock.acquire_write(timeout=0.01) is False
        assert not written.acquire_read(False)
        assert not waited.acquire_read(False)  # a writer of the parent waits
        with pytest.raises(RuntimeError):
            waited.release_write()
        for lock in (read, written, waited):
            lock._at_fork_reinit()
            assert state(lock) == FREE
            for misuse in (lock.release_read, lock.release_write):
                with pytest.raises(RuntimeError):
                    misuse()
            assert give_up_all(lock) == (0, 0)
            with lock.write():
                pass
            assert lock.acquire_read(timeout=0.01)

    waited.acquire_read()
    with Held(read.read()), Held(written.write()), Waiting(waited):
        run_in_fork(child)
        waited.release_read()


@pytest.mark.parametrize("hold", ["read", "write"])
def test_f15_daemon_threads_at_exit(hold):
    run_python(
        """
import sys, threading, time
from latchwork import RWLock
held, free = RWLock(), RWLock()
side = getattr(held, sys.argv[1])()
side.__enter__()
def wait(name):
    getattr(held, name)()
def wait_a_little(name):
    while True:
        getattr(held, name)(timeout=0.0005)
def use(side):
    while True:
        with side:
            pass
for name in ("acquire_read", "acquire_write"):
    threading.Thread(target=wait, args=(name,), daemon=True).start()
    threading.Thread(target=wait_a_little, args=(name,), daemon=True).start()
for side in (free.read(), free.read(), free.write()):
    threading.Thread(target=use, args=(side,), daemon=True).start()
time.sleep(0.1)
""",
        hold,
    )
