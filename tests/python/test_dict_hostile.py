# SPDX-License-Identifier: BSD-2-Clause
"""ConcurrentDict and foreign code that misbehaves: __hash__, __eq__ and __del__ that raise, delete,
write, wait, recurse.

F1 to F15 are failures that were found in similar libraries, which this one promises not to have.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
import time
import weakref

import pytest
from concurrency import SANITIZED, Faster, run_python, run_threads, scaled, wait_until
from latchwork import MISSING, ConcurrentDict, Mutex, flush


class Key:
    """Equal by name; all have one hash; `on_eq(self, other)` runs first, once."""

    def __init__(self, name, on_eq=None):
        self.name = name
        self.on_eq = on_eq
        self.comparisons = 0

    def __hash__(self):
        return 2**40

    def __eq__(self, other):
        self.comparisons += 1
        action, self.on_eq = self.on_eq, None
        if action is not None:
            action(self, other)
        return self.name == other.name

    def __repr__(self):
        return f"Key({self.name!r})"


OPERATIONS = {
    "getitem": lambda d, k: d[k],
    "get": lambda d, k: d.get(k, "default"),
    "contains": lambda d, k: k in d,
    "setitem": lambda d, k: d.__setitem__(k, "new"),
    "delitem": lambda d, k: d.__delitem__(k),
    "setdefault": lambda d, k: d.setdefault(k, "new"),
    "pop": lambda d, k: d.pop(k, "default"),
    "update": lambda d, k: d.update([(k, "new")]),
    "replace": lambda d, k: d.replace(k, "value", "new"),
    "remove": lambda d, k: d.remove(k, "value"),
    "compute": lambda d, k: d.compute(k, lambda _: "new"),
    "add": lambda d, k: d.add(k, "new"),
    "keys": lambda d, k: k in d.keys(),  # noqa: SIM118
    "items": lambda d, k: (k, "value") in d.items(),
    "equality": lambda d, k: ConcurrentDict({k: "value"}) == d,
    "or": lambda d, k: d | {k: "new"},
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


class Error(Exception):
    pass


def fail(*_):
    raise Error


# ---- errors ----


@each_operation
def test_hash_that_raises(operation):
    class Bad:
        __hash__ = fail

    d = ConcurrentDict(a=1)
    with pytest.raises(Error):
        operation(d, Bad())
    assert d == {"a": 1}


@each_operation
@pytest.mark.parametrize("who", ["stored", "asked"])
def test_eq_that_raises(operation, who):
    stored = Key("a", fail if who == "stored" else None)
    asked = Key("a")
    if who == "asked":
        # The stored key does not know the answer, so that the other one is asked.
        class Unsure(Key):
            __hash__ = Key.__hash__

            def __eq__(self, other):
                return NotImplemented

        stored, asked = Unsure("a"), Key("a", fail)
    value = "value"
    d = ConcurrentDict({stored: value})
    with pytest.raises(Error):
        operation(d, asked)
    assert len(d) == 1
    assert d[stored] is value


def test_eq_that_returns_something_without_a_truth_value():
    class Array:
        __bool__ = fail

    class Odd:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            return Array()

    d = ConcurrentDict({Odd(): 1})
    with pytest.raises(Error):
        Odd() in d  # noqa: B015


@pytest.mark.parametrize("failing", range(6))
def test_an_error_leaves_no_reference_behind(failing):
    stored = [Key(n) for n in range(6)]
    d = ConcurrentDict.fromkeys(stored)
    references = [weakref.ref(key) for key in stored]
    asked, value = Key("x"), Key("y")
    references += [weakref.ref(asked), weakref.ref(value)]
    for operation in (d.__setitem__, d.setdefault, d.get, d.pop):
        stored[failing].on_eq = fail
        with pytest.raises(Error):
            operation(asked, value)
    del d, stored, asked, value, operation
    gc.collect()
    assert [reference() for reference in references] == [None] * 8


# ---- F2, F3, F4: __eq__ that changes the dictionary ----


class Mortal(tuple):
    """Compared by tuple's C code, which borrows both operands while it asks their items."""

    freed: list | None = None

    def __del__(self):
        if self.freed is not None:
            self.freed.append(self[0].name)


# == compares the lengths first.
@pytest.mark.parametrize(
    "operation", [OPERATIONS[name] for name in OPERATIONS if name != "equality"]
)
@pytest.mark.parametrize("others", [0, 1, 6])
def test_f2_stored_keys_live_until_the_operation_is_done(operation, others):
    """The one being compared, and those that were: no other key may come to lie at its address."""
    freed, freed_too_early, compared = [], [], []

    def drop_compared(key, _):
        if key.name in compared:
            return
        compared.append(key.name)
        names, compared[:] = list(compared), [key[0].name for key in d]  # none while we remove
        for stored in list(d):
            if stored[0].name in names:
                del d[stored]
        del stored
        compared[:] = names
        gc.collect()
        flush()
        freed_too_early.extend(freed)

    d = ConcurrentDict()
    for name in ["a", *range(others)]:
        d[Mortal((Key(name), 1))] = "value"
    for key in d:
        key.freed = freed
        key[0].on_eq = drop_compared
    del key
    with contextlib.suppress(KeyError):
        operation(d, Mortal((Key("a"), 1)))
    assert not freed_too_early
    assert compared
    d.clear()
    gc.collect()
    flush()
    assert len(freed) == 1 + others


# What an operation gives if the key was taken out while it was compared: as if before.
AFTER_DELETION = {
    "getitem": KeyError,
    "get": "default",
    "contains": False,
    "setitem": None,
    "delitem": KeyError,
    "setdefault": "new",
    "pop": "default",
    "update": None,
    "replace": False,
    "remove": False,
    "compute": "new",
    "add": "new",
    "keys": False,
    "items": False,
}


@pytest.mark.parametrize("name", AFTER_DELETION)
def test_f3_eq_that_deletes_the_key_being_looked_up(name):
    def delete(stored, _):
        assert d.pop(stored) == "value"
        # What would lie in the freed memory now, were it looked at.
        d["unrelated"] = ["unrelated"]
        for n in range(200):
            d[n] = ["unrelated", n]

    d = ConcurrentDict({Key("a", delete): "value"})
    expected = AFTER_DELETION[name]
    if expected is KeyError:
        with pytest.raises(KeyError):
            OPERATIONS[name](d, Key("a"))
    else:
        assert OPERATIONS[name](d, Key("a")) == expected
    assert d["unrelated"] == ["unrelated"]


@each_operation
def test_f3_eq_that_puts_another_equal_key_in_its_place(operation):
    def swap(stored, _):
        del d[stored]
        d[Key("a")] = "other value"

    d = ConcurrentDict({Key("a", swap): "value"})
    result = operation(d, Key("a"))
    assert result not in ("value", "default", MISSING)
    assert len(d) in (0, 1)


@each_operation
def test_f4_eq_that_writes_to_the_same_dictionary(operation):
    def write(stored, _):
        for n in range(300):  # enough to make the table grow in the middle
            d[n] = n
        d[stored] = "value"
        d[Key("fresh")] = "fresh"

    d = ConcurrentDict({Key("a", write): "value"})
    operation(d, Key("a"))
    assert d.get(Key("fresh")) == "fresh"
    assert all(d[n] == n for n in range(300))


@each_operation
def test_f4_eq_that_asks_the_same_dictionary_the_same_question(operation):
    def recurse(depth):
        def action(stored, other):
            if depth:
                stored.on_eq = recurse(depth - 1)
                with contextlib.suppress(KeyError):
                    operation(d, other)

        return action

    d = ConcurrentDict({Key("a", recurse(20)): "value"})
    with contextlib.suppress(KeyError):
        operation(d, Key("a"))
    assert len(d) <= 1


@each_operation
def test_eq_that_recurses_without_end(operation):
    class Endless(Key):
        __hash__ = Key.__hash__

        def __eq__(self, other):
            return operation(d, Endless("x")) or True

    d = ConcurrentDict()
    d[Endless("a")] = "value"
    with pytest.raises(RecursionError):
        operation(d, Endless("a"))
    assert len(d) == 1


def test_eq_whose_answers_contradict_each_other():
    class Moody(Key):
        __hash__ = Key.__hash__

        def __eq__(self, other):
            self.comparisons += 1
            return self.comparisons % 2 == 0

    d = ConcurrentDict()
    for n in range(50):
        d[Moody(n)] = n
    for n in range(50):
        d.pop(Moody(n), None)
    assert len(d) == len(list(d))


def test_each_stored_key_is_compared_once_in_an_operation():
    stored = [Key(n) for n in range(60)]
    d = ConcurrentDict({key: key.name for key in stored})
    for key in stored:
        key.comparisons = 0
    assert Key("absent") not in d
    assert [key.comparisons for key in stored] == [1] * 60
    for asked in (Key(0), Key(59)):
        assert d[asked] == asked.name
    assert max(key.comparisons for key in stored) <= 3


def test_eq_is_not_called_for_identical_keys_or_other_hashes():
    class Other(Key):
        def __hash__(self):
            return 2**40 + 1

        __eq__ = Key.__eq__

    key = Key("a", fail)
    d = ConcurrentDict({key: 1})
    assert d[key] == 1
    assert Other("a") not in d
    assert key.comparisons == 0


# ---- F13: finalizers ----


class Bomb:
    """Runs `action` when it goes."""

    def __init__(self, action):
        self.action = action

    def __del__(self):
        self.action()


def drop_by_overwrite(d, key):
    d[key] = None


def drop_by_replace(d, key):
    d.replace(key, d[key], None)


def drop_by_compute(d, key):
    d.compute(key, lambda _: MISSING)


DROPS = {
    "overwrite": drop_by_overwrite,
    "update": lambda d, key: d.update({key: None}),
    "delete": lambda d, key: d.__delitem__(key),
    "pop": lambda d, key: d.pop(key) and None,
    "popitem": lambda d, _: d.popitem() and None,
    "remove": lambda d, key: d.remove(key, d[key]),
    "replace": drop_by_replace,
    "compute": drop_by_compute,
    "clear": lambda d, _: d.clear(),
}
each_drop = pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS)


@each_drop
def test_f13_a_finalizer_that_writes_to_the_same_dictionary(drop):
    ran = []

    def action():
        ran.append(len(d))
        time.sleep(0)  # lets go of the GIL
        d["from the finalizer"] = len(ran)
        for n in range(300):
            d[n] = n
        for n in range(300):
            d.pop(n, None)

    d = ConcurrentDict({"a": Bomb(action)})
    drop(d, "a")
    flush()
    assert len(ran) == 1
    assert d["from the finalizer"] == 1


@each_drop
def test_f13_a_finalizer_that_does_the_same_again(drop):
    left = [20]

    def action():
        if left[0]:
            left[0] -= 1
            d["a"] = Bomb(action)
            drop(d, "a")

    d = ConcurrentDict()
    action()
    flush()
    assert left == [0]
    assert len(d) <= 1


@each_drop
def test_f13_a_key_whose_finalizer_uses_the_dictionary(drop):
    class Mortal:
        def __del__(self):
            ran.append(sorted(map(str, d)))
            d["last words"] = 1

    ran = []
    key = Mortal()
    d = ConcurrentDict({key: object()})
    drop(d, key)
    d.pop(key, None)
    del key
    flush()
    assert len(ran) == 1
    assert d["last words"] == 1


def test_f13_finalizers_that_let_other_threads_in():
    """The container is in order whenever a finalizer lets go of the GIL."""
    d = ConcurrentDict()
    names = [f"key {n}" for n in range(16)]
    gone = [0]
    count = Mutex()

    def action(name):
        time.sleep(0)
        d.get(name)
        with count:
            gone[0] += 1

    made = [0]

    def write(own):
        for n in range(scaled(1500)):
            name = names[(n * own) % 16]
            value = Bomb(lambda name=name: action(name))
            with count:
                made[0] += 1
            if n % 7 == 0:
                d.pop(name, None)
            elif n % 101 == 0:
                d.clear()
            else:
                d[name] = value
            del value
        flush()

    def read():
        for _ in range(scaled(1500)):
            for name, value in d.items():
                assert name in names
                assert type(value) is Bomb

    with Faster():
        run_threads(lambda: write(1), lambda: write(3), lambda: write(5), read)
    d.clear()
    wait_until(lambda: flush() and gone[0] == made[0])


def test_a_finalizer_that_raises_is_reported_and_harms_nothing(monkeypatch):
    reports = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: reports.append(report.exc_type))
    d = ConcurrentDict(a=Bomb(fail))
    d["a"] = 1
    flush()
    assert d == {"a": 1}
    assert reports == [Error]


def test_a_finalizer_that_drops_the_dictionary_itself():
    holder = []
    holder.append(ConcurrentDict(a=Bomb(holder.clear), b=Bomb(holder.clear)))
    reference = weakref.ref(holder[0])
    holder[0].clear()
    flush()
    assert not holder
    gc.collect()
    assert reference() is None


def test_a_long_chain_of_dictionaries_does_not_use_up_the_stack():
    chain = None
    for _ in range(scaled(100_000)):
        chain = ConcurrentDict(next=chain)
    del chain
    chain = None
    for _ in range(scaled(100_000)):
        chain = ConcurrentDict(next=chain)
    chain.clear()


# ---- iteration ----


class Interrupt(BaseException):
    pass


class Late:
    """All have one hash; once armed, a key that is asked anything is an error."""

    armed = False

    def __hash__(self):
        if Late.armed:
            raise Interrupt
        return 7

    def __eq__(self, other):
        if Late.armed:
            raise Interrupt
        return self is other


@pytest.fixture
def late_keys():
    yield [Late() for _ in range(60)]
    Late.armed = False


def test_iteration_asks_no_key(late_keys):
    d = ConcurrentDict({key: [n] for n, key in enumerate(late_keys)})
    values = [id(d[key]) for key in late_keys]
    half = iter(d.items())
    first, _ = next(half)
    Late.armed = True
    assert sorted(map(id, d)) == sorted(map(id, late_keys))
    assert sorted(map(id, d.values())) == sorted(values)
    assert sorted((id(key), id(value)) for key, value in d.items()) == sorted(
        zip(map(id, late_keys), values, strict=True)
    )
    assert len(list(half)) == 59
    assert len(repr(d)) > 60 * 10
    Late.armed = False
    half = iter(d.items())
    next(half)
    for key in late_keys[:30]:
        if key is not first:
            del d[key]
    for key in late_keys[30:]:
        d[key] = "new"
    Late.armed = True
    left = dict((id(key), value) for key, value in half)  # noqa: C402
    assert left.keys() <= set(map(id, late_keys[30:])) | {id(first)}
    assert {value for key, value in left.items() if key != id(first)} == {"new"}
    half = iter(d)
    next(half)
    d.clear()
    assert list(half) == []


def test_popitem_asks_no_key(late_keys):
    d = ConcurrentDict({key: n for n, key in enumerate(late_keys)})
    Late.armed = True
    popped = [d.popitem() for _ in late_keys]
    assert sorted((value, id(key)) for key, value in popped) == list(enumerate(map(id, late_keys)))
    assert len(d) == 0
    with pytest.raises(KeyError):
        d.popitem()


def test_keys_whose_hash_has_changed():
    class Fickle:
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            return self.n

        def __eq__(self, other):
            return self.n == other.n

    keys = [Fickle(n) for n in range(300)]
    d = ConcurrentDict({key: [key] for key in keys})
    for key in keys:
        key.n += 1_000_000
    assert sorted(map(id, d)) == sorted(map(id, keys))
    assert all(value == [key] for key, value in d.items())
    popped = []
    while d:
        popped.append(d.popitem())
    assert sorted(id(key) for key, _ in popped) == sorted(map(id, keys))
    assert all(value == [key] for key, value in popped)


def test_many_equal_hashes_in_one_bucket():
    class Same(int):
        def __hash__(self):
            return 7

    d = ConcurrentDict({Same(n): n for n in range(300)})
    assert sorted(d.values()) == list(range(300))
    assert sorted(d) == list(range(300))
    assert sum(1 for _ in d.items()) == 300
    copied = d.copy()
    assert len(copied) == 300
    popped = [d.popitem()[1] for _ in range(300)]
    assert sorted(popped) == list(range(300))


def test_an_entry_is_yielded_as_it_is_at_its_turn():
    """Although the whole bucket was read at the first."""

    class Same(int):
        def __hash__(self):
            return 7

    keys = [Same(n) for n in range(60)]
    d = ConcurrentDict.fromkeys(keys, "old")
    views = [iter(view) for view in (d.keys(), d.values(), d.items())]
    for view in views:
        next(view)
    for key in keys[::2]:
        del d[key]
    for key in keys[1::2]:
        d[key] = "new"
    left_keys, left_values, left_items = map(list, views)
    assert all(key % 2 for key in left_keys)
    assert set(left_values) == {"new"}
    assert {value for _, value in left_items} == {"new"}
    for left in (left_keys, left_values, left_items):
        assert 29 <= len(left) <= 30


def test_an_iterator_shared_by_threads():
    for _ in range(scaled(20)):
        d = ConcurrentDict({n: -n for n in range(3000)})
        for view in (d.keys(), d.values(), d.items()):
            iterator = iter(view)
            with Faster():
                taken = run_threads(lambda it=iterator: list(it), count=4)
            assert sorted(itertools.chain(*taken)) == sorted(view)


# ---- threads ----


def test_eq_that_waits_for_another_thread_that_writes_the_same_key():
    """With a lock held while __eq__ runs, this would not end."""

    def wait(*_):
        thread = threading.Thread(target=d.__setitem__, args=(Key("a"), "from the thread"))
        thread.start()
        thread.join()

    for operation in OPERATIONS.values():
        d = ConcurrentDict({Key("a", wait): "value"})
        operation(d, Key("a"))


def test_colliding_keys_from_many_threads():
    d = ConcurrentDict()

    def work(own):
        for n in range(30):
            for name in (own, (own, n), "shared"):
                d[Key(name)] = name
                assert d[Key(name)] == name
            if n % 2:
                assert d.pop(Key((own, n))) == (own, n)

    with Faster():
        run_threads(*[lambda own=own: work(own) for own in range(4)])
    assert sorted(map(str, d.values())) == sorted(
        [
            "shared",
            *map(str, range(4)),
            *[str((own, n)) for own in range(4) for n in range(0, 30, 2)],
        ]
    )


@pytest.mark.skipif(SANITIZED, reason="the sanitizer's frames are larger than CPython allows for")
def test_repr_of_dicts_in_dicts_as_deep_as_it_gets():
    run_python("""
from latchwork import ConcurrentDict
for depth in (10, 3000, 9000, 50_000):
    outer = inner = ConcurrentDict()
    for _ in range(depth):
        deeper = ConcurrentDict()
        inner[1] = deeper
        inner = deeper
    try:
        text = repr(outer)
    except RecursionError:
        assert depth > 10
    else:
        assert text.count("(") == text.count(")") == depth + 1
""")
