# SPDX-License-Identifier: BSD-2-Clause
"""Memory stays bounded, comes back, and may run out."""

from __future__ import annotations

import importlib.util

import pytest
from concurrency import FREE_THREADED, SANITIZED, run_python

pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizer has memory of its own")

# What a script needs to measure the process that it runs in.
MEASURE = """
import gc, sys, threading, tracemalloc
from latchwork import ConcurrentDict, flush, stats

def resident():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
"""


@pytest.mark.skipif(FREE_THREADED, reason="CPython's allocator keeps more there")
def test_filled_and_emptied_leaves_nothing_that_trim_does_not_give_back():
    run_python(
        MEASURE
        + """
d = ConcurrentDict()
def fill_and_empty(count):
    for n in range(count):
        d[n] = None
    full = resident()
    for n in range(count):
        del d[n]
    flush(trim=True)
    return full
fill_and_empty(1000)
empty = resident()
full = fill_and_empty(1_000_000)
assert full > 4 * empty, (full, empty)
# The last arena of its small integers stays with CPython.
assert resident() < 1.2 * empty + 1024 * 1024, (resident(), empty)
"""
    )


def test_f5_insert_and_delete_leave_nothing_behind():
    """Five million times, at most a thousand at once, with one thread and beside another."""
    run_python(
        MEASURE
        + """
d = ConcurrentDict()
def cycle(count, window):
    for n in range(count):
        d[n] = n
        d.pop(n - window, None)
    for n in range(count - window, count):
        d.pop(n, None)
    flush()
cycle(100_000, 1000)  # the allocator's first pages
empty, size = resident(), sys.getsizeof(d)
cycle(5_000_000, 1000)
assert len(d) == 0
assert resident() < 1.2 * empty, (resident(), empty)
assert sys.getsizeof(d) <= size

stop = threading.Event()
def read():
    while not stop.is_set():
        d.get(1)
other = threading.Thread(target=read)
other.start()
cycle(1_000_000, 1000)
stop.set()
other.join()
flush()
assert stats()["retired"] == 0, stats()
# The reader may lose its processor in the middle of a read, and what is removed meanwhile waits;
# a million entries that are never released would be twice as much.
assert resident() < empty + 64 * 1024 * 1024, (resident(), empty)
""",
    )


def test_f5_the_table_shrinks():
    run_python(
        MEASURE
        + """
d = ConcurrentDict()
tracemalloc.start()
size = sys.getsizeof(d)
for kind in range(3):
    for n in range(50_000):
        d[n, kind] = n
    assert sys.getsizeof(d) > 50_000 * 40
    gc.collect()
    full = tracemalloc.get_traced_memory()[0]
    assert full > 50_000 * 40, full  # the core's memory is Python's, and tracemalloc knows
    for n in range(50_000):
        del d[n, kind]
    flush()
    assert len(d) == 0
    assert sys.getsizeof(d) <= 2 * size, sys.getsizeof(d)
    left = tracemalloc.get_traced_memory()[0]
    assert left < full / 20, (left, full)  # what is left is mostly CPython's store of free tuples
""",
    )


def test_f6_thousands_of_dictionaries():
    run_python(
        """
from latchwork import AtomicInt, ConcurrentDict, Mutex
many = [ConcurrentDict(n=n) for n in range(5000)]
assert sum(d["n"] for d in many) == sum(range(5000))
locks = [Mutex() for _ in range(5000)]
assert all(lock.acquire(False) for lock in locks)
numbers = [AtomicInt(n) for n in range(5000)]
assert sum(map(int, numbers)) == sum(range(5000))
"""
    )


def test_locks_keep_nothing():
    run_python(
        """
import gc, tracemalloc
from threading import Lock
from latchwork import *

def fail():
    raise ZeroDivisionError

def attempt(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except (ZeroDivisionError, RuntimeError, TypeError, ValueError, OverflowError):
        pass

def use(n):
    for lock in (Mutex(), RMutex(), Lock(), None):
        condition = Condition(lock)
        attempt(condition.wait)
        with condition:
            condition.wait(timeout=0)
            condition.wait_for(list, timeout=0)
            attempt(condition.wait_for, fail)
            condition.notify()
            saved = condition._release_save()
            condition._acquire_restore(saved)
        repr(condition)
    attempt(Condition, n)
    attempt(RMutex()._acquire_restore, 2**32)
    event = Event()
    event.wait(timeout=0)
    repr(event)
    semaphore = BoundedSemaphore(n)
    attempt(semaphore.release)
    repr(semaphore)
    attempt(Semaphore, -n)
    for action in (None, list, fail):
        barrier = Barrier(1, action, timeout=n)
        attempt(barrier.wait)
        repr(barrier)
    attempt(Barrier(2).wait, timeout=0)
    latch = Latch(count=n)
    latch.count_down(n=n)
    attempt(latch.arrive_and_wait)
    lock = RWLock()
    with lock.read() as _, RWLock().write():
        attempt(lock.release_write)
        lock.try_upgrade()
        lock.acquire_read(timeout=0)
        lock.downgrade()
    attempt(lock.release_read)
    attempt(lock.acquire_read, True, -n)
    attempt(RWLock, n)
    repr(lock)
    once = Once()
    attempt(once.call, fail)
    attempt(once.call, once.call, fail)
    once.call(list, [n])
    once.call(fail)

def run(times):
    for n in range(1000, 1000 + times):
        use(n)

def traced():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]

run(100)
tracemalloc.start()
run(100)
before = traced()
run(3000)
after = traced()
assert after < before + 48_000, (before, after)  # 16 bytes a round: no object is that small
""",
    )


def test_f7_records_of_dead_threads_are_reused():
    run_python(
        """
import threading
from latchwork import ConcurrentDict, stats
d = ConcurrentDict()
def work(n):
    d[n] = n
    assert d.pop(n) == n
    d["last"] = n
for start in range(0, 5_000, 10):
    threads = [threading.Thread(target=work, args=(n,)) for n in range(start, start + 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert len(d) == 1
figures = stats()
assert figures["thread_records"] <= 50, figures
assert figures["threads"] <= 11, figures
""",
    )


def test_f12_retired_memory_is_bounded_with_large_values():
    run_python(
        MEASURE
        + """
d = ConcurrentDict()
before = resident()
def work(own):
    for n in range(10_000):  # 640 MB of values
        d[own] = bytes(64 * 1024)
threads = [threading.Thread(target=work, args=(own,)) for own in range(3)]
for thread in threads:
    thread.start()
highest = 0
for thread in threads:
    while thread.is_alive():
        thread.join(0.005)
        highest = max(highest, resident())
assert highest - before < 200 * 1024 * 1024, highest
""",
    )


LARGE = {
    "bytes": "bytes(8 * MIB)",
    "bytearray": "bytearray(8 * MIB)",
    "str": "'x' * (8 * MIB)",
    "wide_str": "chr(0x1f40d) * (2 * MIB)",
    "list": "[None] * MIB",
    "tuple": "(None,) * MIB",
    "dict": "dict.fromkeys(range(MIB // 8))",
    "set": "set(range(MIB // 8))",
    "array": "array.array('b', bytes(8 * MIB))",
    "subclass": "Bytes(8 * MIB)",
}
TAKE_OUT = {
    "overwrite": "d['key'] = large()",
    "replace": "d.replace('key', d['key'], large())",
    "pop": "d['key'] = large(); d.pop('key')",
    "popitem": "d['key'] = large(); d.popitem()",
    "clear": "d['key'] = large(); d.clear()",
}


@pytest.mark.parametrize(
    ("large", "take_out"),
    [(large, TAKE_OUT["overwrite"]) for large in LARGE.values()]
    + [(LARGE["bytes"], take_out) for take_out in list(TAKE_OUT.values())[1:]]
    + [(LARGE[name], "d[large()] = None; d.popitem()") for name in ("bytes", "str", "tuple")],
    ids=[*LARGE, *list(TAKE_OUT)[1:], "bytes_key", "str_key", "tuple_key"],
)
def test_f12_large_values_do_not_gather_beside_an_idle_thread(large, take_out):
    """Each is released when it is taken out, or a few later; 40 of 8 MiB are 320."""
    run_python(
        MEASURE
        + f"""
import array
MIB = 1024 * 1024
class Bytes(bytes):
    pass
def large():
    return {large}
d = ConcurrentDict(key=None)
ready, end = threading.Event(), threading.Event()
def idle():
    d.get("key")
    ready.set()
    end.wait()
other = threading.Thread(target=idle)
other.start()
ready.wait()
before, highest = resident(), 0
for n in range(40):
    {take_out}
    highest = max(highest, resident())
end.set()
other.join()
assert highest - before < 200 * MIB, highest - before
""",
    )


def test_f12_retired_memory_is_bounded_with_many_short_threads():
    run_python(
        MEASURE
        + """
d = ConcurrentDict()
def work(own):
    for n in range(30):
        d[own] = bytes(64 * 1024)
    d.pop(own)
before = resident()
for start in range(0, 2000, 4):
    threads = [threading.Thread(target=work, args=(start + n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resident() - before < 200 * 1024 * 1024, resident()
flush()
""",
    )


@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="this interpreter has no _testcapi"
)
def test_every_allocation_may_fail():
    """The first, then the second: the dictionary is as it was, or as it should become.

    Keys that an operation does not touch keep their very value.
    """
    run_python(
        """
import _testcapi, itertools, pickle
from latchwork import AtomicInt, ConcurrentDict, MISSING, Mutex
from latchwork import Barrier, Condition, Event, Latch, Once, RMutex, Semaphore

class Key:
    def __init__(self, n):
        self.n = n
    def __hash__(self):
        return 2**40
    def __eq__(self, other):
        return self.n == other.n

content = {n: [n] for n in range(70)} | {Key(n): [n] for n in range(9)} | {"x": 1, (1, 2): [2]}
absent, present = Key(100), Key(3)
pairs = [(absent, 0), (n := 1000, n)]

def increase(old):
    return old + 1000

def consume(d, view):
    for _ in view(d):
        pass

operations = {
    "new": lambda d: ConcurrentDict(),
    "insert": lambda d: d.__setitem__(absent, 1),
    "overwrite": lambda d: d.__setitem__(present, 1),
    "read": lambda d: d[present],
    "delete": lambda d: d.__delitem__(present),
    "setdefault": lambda d: d.setdefault(absent, 1),
    "replace": lambda d: d.replace("x", 1, 2),
    "remove": lambda d: d.remove("x", 1),
    "compute": lambda d: d.compute("x", increase),
    "add": lambda d: d.add("new", 5000),
    "pop": lambda d: d.pop(present),
    "popitem": lambda d: d.popitem(),
    "update": lambda d: d.update(pairs),
    "many": lambda d: d.update(enumerate(range(1000, 1300), 1000)),
    "keys": lambda d: consume(d, ConcurrentDict.keys),
    "items": lambda d: consume(d, ConcurrentDict.items),
    "copy": lambda d: d.copy(),
    "or": lambda d: d | {absent: 1},
    "repr": lambda d: repr(d),
    "equal": lambda d: d == content,
    "union": lambda d: d.keys() | {1},
    "clear": lambda d: d.clear(),
    "mutex": lambda d: Mutex().acquire(),
    "rmutex": lambda d: RMutex().acquire(timeout=1),
    "condition": lambda d: Condition().wait_for(d.__len__, timeout=1),
    "event": lambda d: Event().wait(timeout=0),
    "semaphore": lambda d: Semaphore(value=2).acquire(timeout=1),
    "barrier": lambda d: Barrier(1, d.__len__).wait(timeout=1),
    "latch": lambda d: Latch(1).arrive_and_wait(),
    "once": lambda d: Once().call(d.copy),
    "atomic": lambda d: AtomicInt(2**62).add(1),
}
SEVERAL = {"update", "many"}  # these store one key after the other
failures = touched = 0
for name, operation in operations.items():
    d = ConcurrentDict(content)
    operation(d)
    expected = dict(d.items())
    for n in itertools.count():
        d = ConcurrentDict(content)
        done = False
        _testcapi.set_nomemory(n, n + 1)
        try:
            operation(d)
            done = True
        except MemoryError:
            pass
        finally:
            _testcapi.remove_mem_hooks()
        failures += not done
        found = dict(d.items())
        assert len(found) == len(d), name
        if name == "popitem":  # which one, it chooses itself
            expected = dict(content)
            gone = content.keys() - found.keys()
            assert len(gone) == done, name
            for key in gone:
                del expected[key]
        for key in content.keys() | expected.keys() | found.keys():
            old = content.get(key, MISSING)
            new = expected.get(key, MISSING)
            now = found.get(key, MISSING)
            if old is new or not (done or name in SEVERAL):
                assert now is old, (name, n, key, now)
            else:
                touched += 1
                assert now == new or (now is old and not done), (name, n, key, now)
        d["after"] = 1
        assert d.pop("after") == 1
        if done:
            break
assert failures > 40, failures
assert touched > 300, touched
""",
    )
