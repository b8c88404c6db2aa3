# SPDX-License-Identifier: BSD-2-Clause
"""ConcurrentDict and many threads. Each value names its key: one of another key is seen at once."""

from __future__ import annotations

import itertools
import random
import threading

import pytest
from concurrency import Faster, run_threads, scaled
from latchwork import MISSING, AtomicInt, ConcurrentDict

ROUNDS = scaled(60_000)


class Value:
    __slots__ = ("key", "version")

    def __init__(self, key, version):
        self.key = key
        self.version = version


class Custom:
    """A key that Python has to be asked about."""

    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n

    def __hash__(self):
        return self.n % 16

    def __eq__(self, other):
        return self.n == other.n


KINDS = {
    "str": lambda n: f"key {n}",
    "int": lambda n: n * 7919,
    "tuple": lambda n: (n, f"key {n}"),
    "custom": Custom,
}
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def rounds_until(done):
    """At least one."""
    yield
    while not done.is_set():
        yield


def check(key, value):
    assert type(value) is Value
    assert value.key == key, f"the value of {value.key!r} under {key!r}"


@each_kind
def test_f1_no_lookup_returns_another_keys_value(make):
    """A writer overwrites, removes and inserts again; three readers."""
    count = 32
    d = ConcurrentDict({make(n): Value(make(n), 0) for n in range(count)})
    done = threading.Event()
    rounds = ROUNDS if make is not Custom else ROUNDS // 8

    def write():
        try:
            for step in range(rounds):
                key = make(step * 5 % count)
                if step % 11 == 0:
                    removed = d.pop(key)
                    check(key, removed)
                    d[key] = Value(make(step * 5 % count), step)
                elif step % 7 == 0:
                    assert d.replace(key, d[key], Value(key, step))
                else:
                    d[key] = Value(key, step)
        finally:
            done.set()

    def read(look):
        seen = 0
        last = {}
        generator = random.Random(look.__name__)
        while not done.is_set() or not seen:
            for _ in range(200):
                key = make(generator.randrange(count))
                value = look(key)
                if value is None:
                    continue  # removed just now
                check(key, value)
                # One thread that reads one key sees its versions in order.
                assert value.version >= last.get(key, 0)
                last[key] = value.version
                seen += 1
        return seen

    def subscript(key):
        try:
            return d[key]
        except KeyError:
            return None

    def among_items(key):
        for other, value in d.items():
            check(other, value)
            if other == key:
                return value
        return None

    def fetch(key):
        return d.get(key)

    with Faster():
        _, *seen = run_threads(
            write, lambda: read(fetch), lambda: read(subscript), lambda: read(among_items)
        )
    assert all(seen)
    assert sorted(map(hash, d)) == sorted(hash(make(n)) for n in range(count))


@each_kind
def test_writers_of_different_keys_lose_nothing(make):
    d = ConcurrentDict()
    count = scaled(3000 if make is not Custom else 150) // 2 * 2

    def work(own):
        for n in range(count):
            d[make(n * 4 + own)] = n
        for n in range(0, count, 2):
            assert d.pop(make(n * 4 + own)) == n

    with Faster():
        run_threads(*[lambda own=own: work(own) for own in range(4)])
    assert len(d) == 4 * (count // 2)
    assert d == {make(n * 4 + own): n for own in range(4) for n in range(1, count, 2)}


@each_kind
def test_of_many_that_insert_one_wins_and_all_agree(make):
    for start in range(0, 400, 100):
        d = ConcurrentDict()
        keys = range(start, start + 100)

        def insert(own, d=d, keys=keys):
            return [d.setdefault(make(n), own) for n in keys]

        with Faster():
            got = run_threads(*[lambda own=own: insert(own) for own in range(4)])
        assert got[0] == got[1] == got[2] == got[3]
        assert d == {make(start + n): winner for n, winner in enumerate(got[0])}


@pytest.mark.parametrize(
    "increment",
    [
        lambda d, key: d.add(key),
        lambda d, key: d.compute(key, lambda old: 1 if old is MISSING else old + 1),
        lambda d, key: increment_by_replace(d, key),
    ],
    ids=["add", "compute", "replace"],
)
def test_no_increment_is_lost(increment):
    d = ConcurrentDict()
    rounds = scaled(2000)

    def work():
        for n in range(rounds):
            increment(d, f"counter {n % 3}")

    with Faster():
        run_threads(work, count=4)
    assert sum(d.values()) == 4 * rounds


def increment_by_replace(d, key):
    while True:
        old = d.setdefault(key, 0)
        if d.replace(key, old, old + 1):
            return


def test_of_many_that_take_one_gets_it():
    rounds = scaled(3000)
    d = ConcurrentDict({n: n for n in range(rounds)})
    takers = [
        lambda: [n for n in range(rounds) if d.pop(n, None) is not None],
        lambda: [n for n in range(rounds) if d.remove(n, d.get(n, MISSING))],
        lambda: list(drain(d)),
        lambda: list(drain(d)),
    ]
    with Faster():
        taken = run_threads(*takers)
    assert sorted(itertools.chain(*taken)) == list(range(rounds))
    assert len(d) == 0


def drain(d):
    while True:
        try:
            key, value = d.popitem()
        except KeyError:
            return
        assert key == value
        yield key


def test_popitem_takes_an_entry_whose_value_changes_all_the_time():
    d = ConcurrentDict(key=0)
    done = threading.Event()

    def write():
        for _ in rounds_until(done):
            for _ in range(100):
                d.replace("key", 0, 1)  # neither inserts nor removes
                d.replace("key", 1, 0)

    def take():
        for _ in range(scaled(200_000)):
            key, value = d.popitem()
            assert key == "key"
            assert value in (0, 1)
            d[key] = value

    with Faster():
        run_threads(write, until_done(take, done))


def test_popitem_finds_entries_that_move_all_the_time():
    """Two threads move an entry each, so that there are always some; a third takes and returns."""
    d = ConcurrentDict({(own, 0): own for own in range(2)})
    done = threading.Event()

    def move(own):
        for n, _ in enumerate(rounds_until(done)):
            d[own, n + 1] = own
            while d.pop((own, n), None) is None and not done.is_set():
                pass  # the third has it just now

    def take():
        for _ in range(scaled(200_000)):
            key, value = d.popitem()
            assert key[0] == value
            d[key] = value

    with Faster():
        run_threads(lambda: move(0), lambda: move(1), until_done(take, done))


def until_done(function, done):
    """Ends the other threads, too, if it fails."""

    def body():
        try:
            function()
        finally:
            done.set()

    return body


# ---- iteration ----


def test_f8_iteration_beside_writers_that_grow_and_shrink_the_table():
    """A key that is there throughout is seen once, others at most once for each insertion."""
    fixed = {f"fixed {n}": Value(f"fixed {n}", 0) for n in range(500)}
    d = ConcurrentDict(fixed)
    done = threading.Event()

    def churn(own):
        generator = random.Random(own)
        try:
            for _ in range(scaled(12)):
                size = generator.choice([10, 300, 5000])
                keys = [(own, next(fresh)) for _ in range(size)]
                for key in keys:
                    d[key] = Value(key, 0)
                for name in fixed:
                    d[name] = Value(name, 0)
                for key in keys:
                    del d[key]
        finally:
            done.set()

    fresh = itertools.count()

    def iterate(kind):
        passes = 0
        for _ in rounds_until(done):
            seen = set()
            for entry in getattr(d, kind)():
                if kind == "values":
                    key = entry.key
                elif kind == "items":
                    key, value = entry
                    check(key, value)
                else:
                    key = entry
                assert key not in seen, f"{key!r} twice"
                seen.add(key)
            assert not fixed.keys() - seen
            passes += 1
        return passes

    with Faster():
        run_threads(
            lambda: churn(1),
            lambda: churn(2),
            lambda: iterate("keys"),
            lambda: iterate("values"),
            lambda: iterate("items"),
        )
    assert d.keys() == fixed.keys()


def test_whole_operations_beside_writers():
    fixed = {n: Value(n, 0) for n in range(300)}
    d = ConcurrentDict(fixed)
    done = threading.Event()

    def churn():
        try:
            for step in range(ROUNDS // 4):
                key = 1000 + step % 700
                d[key] = Value(key, step)
                d.pop(1000 + (step * 7) % 700, None)
        finally:
            done.set()

    def whole():
        for _ in rounds_until(done):
            for copied in (d.copy(), ConcurrentDict(d), d | {}, dict(d.items())):
                assert copied.keys() >= fixed.keys()
                for key, value in copied.items():
                    check(key, value)
            assert 300 <= len(d) <= 1000
            assert d.keys() >= fixed.keys()
            assert d.keys() & {0, 1} == {0, 1}
            assert len(repr(d)) > 300
            assert d != {}
            assert d.__sizeof__() > 0

    with Faster():
        run_threads(churn, whole, whole)


def test_clear_beside_writers():
    d = ConcurrentDict()
    done = AtomicInt()

    def write(own):
        for n in range(ROUNDS // 4):
            key = (own, n % 500)
            d[key] = Value(key, n)
            value = d.get(key)
            if value is not None:
                check(key, value)
        done.add(1)

    def clear():
        while done.load() < 2:
            d.clear()

    with Faster():
        run_threads(lambda: write(1), lambda: write(2), clear)
    d.clear()
    assert len(d) == 0
    assert list(d) == []


def test_dictionaries_made_and_dropped_by_many_threads():
    def work():
        for n in range(scaled(300)):
            d = ConcurrentDict({k: Value(k, n) for k in range(20)})
            d.update(d.copy())
            assert len(d) == 20

    with Faster():
        run_threads(work, count=4)


def test_a_dictionary_handed_from_thread_to_thread():
    """What one thread retires, another may have to release; the dictionary may go first."""
    box = ConcurrentDict()

    def work(own):
        for n in range(scaled(500)):
            d = ConcurrentDict({k: Value(k, n) for k in range(10)})
            other = box.pop(1 - own, None)
            box[own] = d
            if other is not None:
                for key in list(other):
                    other[key] = None
                other.clear()

    with Faster():
        run_threads(lambda: work(0), lambda: work(1))
