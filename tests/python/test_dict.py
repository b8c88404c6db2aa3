# SPDX-License-Identifier: BSD-2-Clause
"""ConcurrentDict on one thread: it does what dict does, but for order."""

from __future__ import annotations

import collections
import copy
import functools
import pickle
import sys
import types
import weakref
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView

import pytest
from concurrency import SANITIZED
from latchwork import MISSING, ConcurrentDict, MissingType


class Sub(ConcurrentDict):
    pass


class WithMissing(ConcurrentDict):
    def __missing__(self, key):
        return ("missing", key)


class Named(ConcurrentDict):
    def __init__(self, name, *args):
        super().__init__(*args)
        self.name = name


def plain(d):
    return dict(d.items())


# ---- making one ----


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((), {}, {}),
        (({"a": 1},), {}, {"a": 1}),
        (({"a": 1},), {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        (([("a", 1), ["b", 2], "cd"],), {}, {"a": 1, "b": 2, "c": "d"}),
        ((collections.UserDict(x=1),), {}, {"x": 1}),
        ((ConcurrentDict(x=1),), {"y": 2}, {"x": 1, "y": 2}),
        ((collections.OrderedDict(x=1),), {}, {"x": 1}),
        ((), {"self": 1, "other": 2}, {"self": 1, "other": 2}),
    ],
)
def test_construct(args, kwargs, expected):
    assert plain(ConcurrentDict(*args, **kwargs)) == expected
    updated = ConcurrentDict(zero=0)
    updated.update(*args, **kwargs)
    assert plain(updated) == {"zero": 0, **expected}


def test_construct_from_an_iterator():
    assert plain(ConcurrentDict(iter([(1, 2), (3, 4)]))) == {1: 2, 3: 4}


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((1,), TypeError, "not iterable"),
        (([1],), TypeError, "cannot convert dictionary update sequence element #0 to a sequence"),
        (([(1, 2), (1,)],), ValueError, "element #1 has length 1; 2 is required"),
        (({}, {}), TypeError, "at most 1"),
        (([([], 1)],), TypeError, "unhashable"),
    ],
)
def test_construct_refuses(args, error, text):
    with pytest.raises(error, match=text):
        ConcurrentDict(*args)
    with pytest.raises(error, match=text):
        ConcurrentDict().update(*args)


def test_update_does_not_hide_errors_of_the_argument():
    class Bad:
        @property
        def keys(self):
            raise RuntimeError("keys")

    class Worse:
        def keys(self):
            yield "a"
            raise RuntimeError("later")

        def __getitem__(self, key):
            return 1

    d = ConcurrentDict()
    with pytest.raises(RuntimeError, match="keys"):
        d.update(Bad())
    with pytest.raises(RuntimeError, match="later"):
        d.update(Worse())
    assert plain(d) == {"a": 1}  # as dict.update: what came before stays


def test_update_with_itself():
    d = ConcurrentDict(a=1)
    d.update(d)
    d |= d
    assert plain(d) == {"a": 1}


def test_update_from_a_subclass_that_overrides_iteration():
    class Doubled(ConcurrentDict):
        def __iter__(self):
            return iter(["x"])

        def keys(self):
            return ["x"]

        def __getitem__(self, key):
            return 2 * super().__getitem__(key)

    assert plain(ConcurrentDict(Doubled(x=4, y=5))) == {"x": 8}


def test_fromkeys():
    assert plain(ConcurrentDict.fromkeys("ab")) == {"a": None, "b": None}
    value = []
    made = Sub.fromkeys("ab", value)
    assert type(made) is Sub
    assert all(v is value for v in made.values())
    assert plain(ConcurrentDict.fromkeys({})) == {}
    with pytest.raises(TypeError):
        ConcurrentDict.fromkeys(3)
    with pytest.raises(TypeError):
        ConcurrentDict.fromkeys([[]])


# ---- keys ----


def test_get_set_delete():
    d = ConcurrentDict()
    d["a"] = 1
    d["a"] = 2
    assert d["a"] == 2
    assert d.get("a") == 2
    assert d.get("b") is None
    assert d.get("b", 3) == 3
    assert "a" in d
    assert "b" not in d
    assert len(d) == 1
    del d["a"]
    assert len(d) == 0
    assert not d
    with pytest.raises(KeyError) as caught:
        d["a"]
    assert caught.value.args == ("a",)
    with pytest.raises(KeyError) as caught:
        del d[(1, 2)]
    assert caught.value.args == ((1, 2),)


def test_overwriting_keeps_the_first_key():
    d = ConcurrentDict()
    d[1] = "int"
    d[1.0] = "float"
    d[True] = "bool"
    assert list(d.items()) == [(1, "bool")]
    assert type(next(iter(d))) is int


@pytest.mark.parametrize("key", [[], {}, set(), ConcurrentDict(), ([],), bytearray()])
def test_unhashable_keys(key):
    d = ConcurrentDict()
    calls = [
        lambda: d[key],
        lambda: d.get(key),
        lambda: key in d,
        lambda: d.__setitem__(key, 1),
        lambda: d.__delitem__(key),
        lambda: d.pop(key, None),
        lambda: d.setdefault(key, 1),
        lambda: d.replace(key, 1, 2),
        lambda: d.remove(key, 1),
        lambda: d.compute(key, lambda _: 1),
        lambda: d.add(key),
        lambda: key in d.keys(),  # noqa: SIM118
        lambda: (key, 1) in d.items(),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="unhashable"):
            call()
    assert len(d) == 0


KEYS = [
    "",
    "a",
    "é",
    "日本",
    "\U0001f600",
    "a" * 1000,
    b"a",
    b"",
    0,
    -1,
    -2,
    1,
    2**31,
    2**61 - 1,
    2**64,
    -(2**100),
    1.5,
    float("inf"),
    0.1,
    None,
    Ellipsis,
    (),
    (1,),
    (1, 2),
    (1, "a", (2.5, b"x")),
    (None, (None, (None,))),
    frozenset({1, 2}),
    int,
    len,
    1j,
    range(3),
]


def nested(depth, leaf):
    key = leaf
    for _ in range(depth):
        key = (key, depth)
    return key


def test_keys_of_every_kind():
    d = ConcurrentDict()
    reference = {}
    for key in [*KEYS, nested(30, 1), nested(30, 2)]:
        d[key] = reference[key] = repr(key)
    assert len(d) == len(reference)
    for key, value in reference.items():
        # An equal key that is another object, where there can be one.
        assert d[copy.deepcopy(key)] == value
        assert d[pickle.loads(pickle.dumps(key))] == value
    assert plain(d) == reference


def test_equal_keys_of_different_types():
    d = ConcurrentDict({1: "one", (1, 2): "pair"})
    assert d[1.0] == d[True] == d[1 + 0j] == "one"
    assert d[(1.0, True + 1)] == "pair"
    assert "1" not in d


def test_equal_hashes_of_different_keys():
    # -1 and -2 have one hash, and so do a str and its ASCII bytes.
    assert hash(-1) == hash(-2)
    assert hash("abc") == hash(b"abc")
    d = ConcurrentDict({-1: "a", -2: "b", "abc": "c", b"abc": "d"})
    assert (d[-1], d[-2], d["abc"], d[b"abc"]) == ("a", "b", "c", "d")
    modulus = sys.hash_info.modulus
    many = {k * modulus: k for k in range(200)}
    assert len({hash(k) for k in many}) == 1
    d = ConcurrentDict(many)
    assert plain(d) == many
    for k in many:
        assert d.pop(k) == many[k]
    assert len(d) == 0


def test_nan_is_found_by_identity():
    nan = float("nan")
    d = ConcurrentDict({nan: 1, (nan,): 2})
    assert d[nan] == 1
    assert d[(nan,)] == 2
    another = float("nan")
    assert another not in d


def test_subclasses_of_builtin_keys_use_their_own_eq():
    class Never(str):
        __slots__ = ()

        def __eq__(self, other):
            return False

        def __hash__(self):
            return str.__hash__(self)

    class Folded(str):
        __slots__ = ()

        def __eq__(self, other):
            return self.lower() == str(other).lower()

        def __hash__(self):
            return hash(self.lower())

    d = ConcurrentDict({"a": 1})
    assert Never("a") not in d
    assert Folded("A") in d
    d[Folded("B")] = 2
    assert d["b"] == 2


def test_setdefault():
    d = ConcurrentDict()
    assert d.setdefault("a", 1) == 1
    assert d.setdefault("a", 2) == 1
    assert d.setdefault("b") is None
    assert plain(d) == {"a": 1, "b": None}


def test_pop():
    d = ConcurrentDict(a=1, b=2)
    assert d.pop("a") == 1
    assert d.pop("a", "gone") == "gone"
    with pytest.raises(KeyError) as caught:
        d.pop((1,))
    assert caught.value.args == ((1,),)
    assert plain(d) == {"b": 2}


def test_popitem():
    reference = {k: str(k) for k in range(1000)}
    d = ConcurrentDict(reference)
    popped = {}
    while d:
        key, value = d.popitem()
        assert key not in popped
        popped[key] = value
        if len(popped) == 500:
            d["late"] = reference["late"] = "late"
    assert popped == reference
    with pytest.raises(KeyError):
        d.popitem()
    d["again"] = 1
    assert d.popitem() == ("again", 1)


def test_clear():
    d = ConcurrentDict({k: k for k in range(1000)})
    d.clear()
    assert len(d) == 0
    assert list(d) == []
    d["a"] = 1
    assert plain(d) == {"a": 1}


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("get", ()),
        ("get", (1, 2, 3)),
        ("setdefault", ()),
        ("pop", ()),
        ("pop", (1, 2, 3)),
        ("popitem", (1,)),
        ("replace", (1, 2)),
        ("remove", (1,)),
        ("compute", (1,)),
        ("add", ()),
        ("update", (1, 2)),
        ("clear", (1,)),
        ("copy", (1,)),
        ("fromkeys", ()),
        ("keys", (1,)),
    ],
)
def test_wrong_numbers_of_arguments(name, args):
    with pytest.raises(TypeError):
        getattr(ConcurrentDict(), name)(*args)


# ---- what dict does not have ----


def test_replace_compares_identity():
    first, second = [1], [1]
    d = ConcurrentDict(a=first)
    assert d.replace("a", second, "new") is False
    assert d["a"] is first
    assert d.replace("a", first, "new") is True
    assert d["a"] == "new"
    assert d.replace("b", None, 1) is False
    assert "b" not in d


def test_remove_compares_identity():
    first, second = [1], [1]
    d = ConcurrentDict(a=first)
    assert d.remove("a", second) is False
    assert d.remove("b", first) is False
    assert d.remove("a", first) is True
    assert len(d) == 0


def test_compute():
    d = ConcurrentDict()
    assert d.compute("a", lambda old: 1 if old is MISSING else old + 1) == 1
    assert d.compute("a", lambda old: 1 if old is MISSING else old + 1) == 2
    assert d.compute("a", lambda _: MISSING) is MISSING
    assert "a" not in d
    assert d.compute("a", lambda _: MISSING) is MISSING
    with pytest.raises(ZeroDivisionError):
        d.compute("a", lambda _: 1 // 0)
    with pytest.raises(TypeError):
        d.compute("a", None)
    assert len(d) == 0


def test_compute_is_repeated_if_the_value_changes_meanwhile():
    d = ConcurrentDict(a=0)
    seen = []

    def function(old):
        seen.append(old)
        if len(seen) < 4:
            d["a"] = len(seen)
        return old

    assert d.compute("a", function) == 3
    assert seen == [0, 1, 2, 3]

    seen.clear()

    def absent(old):
        seen.append(old)
        if old is MISSING:
            d["b"] = 1
        return 2

    assert d.compute("b", absent) == 2
    assert seen == [MISSING, 1]

    seen.clear()

    def removed(old):
        seen.append(old)
        if len(seen) == 1:
            del d["b"]
        return MISSING

    assert d.compute("b", removed) is MISSING
    assert seen == [2, MISSING]


def test_add():
    d = ConcurrentDict()
    assert d.add("n") == 1
    assert d.add("n", 5) == 6
    assert d.add("text", "a") == "a"
    assert d.add("text", "b") == "ab"
    assert d.add("n", 2**70) == 6 + 2**70
    with pytest.raises(TypeError):
        d.add("n", "x")
    assert d["n"] == 6 + 2**70


def test_missing():
    assert repr(MISSING) == "latchwork.MISSING"
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert copy.deepcopy(MISSING) is MISSING
    assert type(MISSING) is MissingType
    with pytest.raises(TypeError):
        MissingType()


# ---- as a whole ----


def test_equality():
    d = ConcurrentDict(a=1, b=[2])
    assert d == {"a": 1, "b": [2]}
    same = {"a": 1, "b": [2]}
    assert same == d
    assert d == ConcurrentDict(b=[2], a=1)
    assert d == collections.OrderedDict(b=[2], a=1)
    assert d == collections.UserDict(b=[2], a=1)
    assert d == types.MappingProxyType({"a": 1, "b": [2]})
    assert d == d.copy()
    assert d != {"a": 1}
    assert d != {"a": 1, "c": [2]}
    assert d != {"a": 1, "b": [3]}
    assert d != [("a", 1)]
    assert d != "ab"
    for operation in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(d, operation)({}) is NotImplemented
    with pytest.raises(TypeError):
        hash(d)


def test_equality_passes_errors_on():
    class Bad:
        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = None

    with pytest.raises(ZeroDivisionError):
        assert ConcurrentDict(a=Bad()) == {"a": 1}


def test_or():
    d = ConcurrentDict(a=1, b=2)
    assert type(d | {"b": 3}) is ConcurrentDict
    assert plain(d | {"b": 3}) == {"a": 1, "b": 3}
    assert type({"b": 3} | d) is ConcurrentDict
    assert plain({"b": 3, "c": 4} | d) == {"a": 1, "b": 2, "c": 4}
    assert plain(d | ConcurrentDict(c=5)) == {"a": 1, "b": 2, "c": 5}
    assert plain(d) == {"a": 1, "b": 2}
    same = d
    d |= [("b", 9)]
    assert d is same
    assert plain(d) == {"a": 1, "b": 9}
    with pytest.raises(TypeError):
        d | [("a", 1)]
    with pytest.raises(TypeError):
        None | d
    with pytest.raises(TypeError):
        d |= 1


def test_repr():
    assert repr(ConcurrentDict()) == "ConcurrentDict({})"
    assert repr(ConcurrentDict(a=[1])) == "ConcurrentDict({'a': [1]})"
    assert repr(Sub({1: 2})) == "Sub({1: 2})"
    d = ConcurrentDict()
    d["self"] = d
    assert repr(d) == "ConcurrentDict({'self': ConcurrentDict({...})})"
    two = ConcurrentDict({"a": 1, (2,): "b"})
    assert eval(repr(two)) == two

    class Bad:
        def __repr__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        repr(ConcurrentDict(a=Bad()))


def test_iteration():
    reference = {k: -k for k in range(5000)}
    d = ConcurrentDict(reference)
    assert sorted(d) == sorted(reference)
    assert sorted(d.values()) == sorted(reference.values())
    assert sorted(d.items()) == sorted(reference.items())
    iterator = iter(d)
    assert iter(iterator) is iterator
    assert iterator.__length_hint__() == 5000
    assert len(set(iterator)) == 5000
    assert iterator.__length_hint__() == 0
    d["late"] = 1
    assert next(iterator, "end") == "end"  # an end is final


def test_iteration_sees_the_changes_of_its_own_loop():
    size = 500 if SANITIZED else 2000  # takes its square
    d = ConcurrentDict(dict.fromkeys(range(size), 0))
    seen = {}
    for key, value in d.items():
        seen[key] = value
        for other in d:
            if other not in seen:
                d[other] = 1
                del d[other]
                d[other] = 2
                break
    assert set(seen) == set(range(size))
    first, *rest = seen.values()
    assert first == 0
    assert set(rest) <= {0, 2}
    d = ConcurrentDict(dict.fromkeys(range(size), 0))
    yielded = []
    for key in d:
        yielded.append(key)
        for other in list(d)[:3]:
            if other != key:
                d.pop(other, None)
        d.pop(key, None)
    assert len(yielded) == len(set(yielded))
    assert len(d) < 3
    # A key that was removed before its turn is not yielded, and a value is as it is at its turn.
    d = ConcurrentDict(dict.fromkeys(range(2000), "old"))
    turns = iter(d.items())
    first = next(turns)
    for key in range(2000):
        if key % 2:
            d.pop(key)
        else:
            d[key] = "new"
    left = dict(turns)
    assert set(left.values()) == {"new"}
    assert not any(key % 2 for key in left)
    assert len(left) >= 999


def test_iteration_while_growing_and_shrinking():
    d = ConcurrentDict({("fixed", k): k for k in range(300)})
    for rounds in range(3):
        seen = collections.Counter()
        for step, key in enumerate(d):
            seen[key] += 1
            if step < 150:
                for k in range(100):
                    d["extra", rounds, step, k] = 0
            elif step < 300:
                for k in range(100):
                    d.pop(("extra", rounds, step - 150, k), None)
        fixed = {key: n for key, n in seen.items() if key[0] == "fixed"}
        assert len(fixed) == 300
        assert set(seen.values()) == {1}


def test_no_order_to_reverse():
    assert ConcurrentDict.__reversed__ is None
    for thing in (ConcurrentDict(a=1), ConcurrentDict().keys(), ConcurrentDict().values()):
        with pytest.raises(TypeError, match=r"not reversible|sequence"):
            reversed(thing)


def test_sizeof():
    empty = sys.getsizeof(ConcurrentDict())
    full = sys.getsizeof(ConcurrentDict(dict.fromkeys(range(1000))))
    assert full > empty + 1000 * 16


def test_abstract_types():
    d = ConcurrentDict(a=1)
    assert isinstance(d, MutableMapping)
    assert isinstance(d, Mapping)
    assert isinstance(d.keys(), KeysView)
    assert isinstance(d.values(), ValuesView)
    assert isinstance(d.items(), ItemsView)
    abstract = [name for name in dir(MutableMapping) if not name.startswith("_")]
    assert [name for name in abstract if not hasattr(ConcurrentDict, name)] == []
    assert [name for name in dir(dict) if not hasattr(ConcurrentDict, name)] == []
    alias = ConcurrentDict[str, int]
    assert alias.__origin__ is ConcurrentDict
    assert alias(a=1) == {"a": 1}


def test_pattern_matching():
    match ConcurrentDict(kind="x", value=3):
        case {"kind": "x", "value": value, **rest}:
            assert value == 3
            assert rest == {}
        case _:
            pytest.fail("a mapping pattern has to match")


def test_works_where_a_mapping_is_asked_for():
    def f(**kwargs):
        return kwargs

    d = ConcurrentDict(a=1, b=2)
    assert f(**d) == {"a": 1, "b": 2}
    assert {**d} == {"a": 1, "b": 2}
    assert "{a}".format_map(d) == "1"
    assert collections.ChainMap({}, d)["b"] == 2
    assert dict(d) == d
    assert types.MappingProxyType(d)["a"] == 1


# ---- views ----


@pytest.mark.parametrize("kind", ["keys", "items"])
@pytest.mark.parametrize(
    "others",
    [
        [],
        ["a"],
        ["a", "b", "z"],
        [("a", 1)],
        [("a", 1), ("b", 2)],
        [("a", 2), ("z", 1)],
        ["a", "b"],
    ],
)
def test_set_operations_of_views(kind, others):
    content = {"a": 1, "b": 2}
    ours, theirs = getattr(ConcurrentDict(content), kind)(), getattr(content, kind)()
    for other in (set(others), frozenset(others), dict.fromkeys(others).keys()):
        for operation in (
            lambda x, y: x & y,
            lambda x, y: x | y,
            lambda x, y: x ^ y,
            lambda x, y: x - y,
            lambda x, y: x == y,
            lambda x, y: x != y,
            lambda x, y: x < y,
            lambda x, y: x <= y,
            lambda x, y: x > y,
            lambda x, y: x >= y,
            lambda x, y: x.isdisjoint(y),
        ):
            assert operation(ours, other) == operation(theirs, other)
        for operation in (
            lambda x, y: x & y,
            lambda x, y: x | y,
            lambda x, y: x ^ y,
            lambda x, y: x - y,
            lambda x, y: x == y,
            lambda x, y: x < y,
        ):
            assert operation(other, ours) == operation(other, theirs)
            assert type(operation(other, ours)) is type(operation(other, theirs))
    for operation in (lambda x, y: x & y, lambda x, y: x | y, lambda x, y: x - y):
        assert operation(ours, list(others)) == operation(theirs, list(others))
        assert operation(ours, ours) == operation(theirs, theirs)
        with pytest.raises(TypeError):
            operation(ours, 1)
        with pytest.raises(TypeError):
            operation(1, ours)


def test_views():
    d = ConcurrentDict(a=1)
    keys, values, items = d.keys(), d.values(), d.items()
    assert (len(keys), len(values), len(items)) == (1, 1, 1)
    assert repr(keys) == "ConcurrentDict.keys(['a'])"
    assert repr(values) == "ConcurrentDict.values([1])"
    assert repr(items) == "ConcurrentDict.items([('a', 1)])"
    assert "a" in keys
    assert "b" not in keys
    assert 1 in values
    assert 2 not in values
    assert ("a", 1) in items
    assert ("a", 2) not in items
    assert ("b", 1) not in items
    assert ["a", 1] not in items
    assert ("a",) not in items
    d["b"] = 2
    assert len(keys) == 2  # views are live
    assert keys.mapping == d
    with pytest.raises(TypeError):
        keys.mapping["c"] = 1
    assert items == {"a": 1, "b": 2}.items()
    d["c"] = []  # not hashable, so not to be put in a set; comparison needs none
    assert items == {"a": 1, "b": 2, "c": []}.items()
    for view in (keys, items):
        with pytest.raises(TypeError):
            hash(view)
    assert values != d.values()
    with pytest.raises(TypeError):
        type(keys)()
    d["self"] = d.values()
    assert "..." in repr(d)


# ---- subclasses, copies, references ----


def test_missing_method():
    d = WithMissing(a=1)
    assert d["a"] == 1
    assert d["b"] == ("missing", "b")
    assert d.get("b") is None
    assert "b" not in d
    assert d.pop("b", None) is None

    class Static(ConcurrentDict):
        __missing__ = dict  # not a function: called with the key alone

    assert Static()[(("k", "v"),)] == {"k": "v"}

    class Raising(ConcurrentDict):
        def __missing__(self, key):
            raise AttributeError(key)

    with pytest.raises(AttributeError):
        Raising()["x"]


class Answer:
    """An object that can be called, and is no function."""

    def __call__(self, *arguments):
        return arguments


class Slot:
    def __get__(self, instance, owner):
        return lambda key: (type(instance), owner, key)


def of_the_metaclass(cls, key):
    return "never asked"


@pytest.mark.parametrize(
    "missing",
    [
        lambda self, key: (type(self).__mro__[-2:], key),
        staticmethod(lambda key: ("static", key)),
        classmethod(lambda cls, key: (cls.__name__, key)),
        functools.partialmethod(lambda self, word, key: (word, key), "partial method"),
        property(lambda self: lambda key: ("property", key)),
        str.join,
        dict.fromkeys,
        len,
        Answer(),
        Slot(),
        None,
    ],
)
@pytest.mark.parametrize("inherited", [False, True])
def test_missing_is_found_as_special_methods_are(missing, inherited):
    def outcome(base):
        meta = type("Meta", (type,), {"__missing__": of_the_metaclass})
        cls = meta("Cls", (base,), {"__missing__": missing})
        if inherited:
            cls = meta("Cls", (cls,), {})
        d = cls()
        d.__dict__["__missing__"] = lambda key: "never asked"  # no special method
        try:
            return d["key"]
        except Exception as error:
            return type(error), str(error)

    ours, theirs = repr(outcome(ConcurrentDict)), repr(outcome(dict))
    assert ours.replace("latchwork.ConcurrentDict", "dict") == theirs


def test_missing_of_the_metaclass_is_none():
    cls = type("Meta", (type,), {"__missing__": of_the_metaclass})("Cls", (ConcurrentDict,), {})
    with pytest.raises(KeyError):
        cls()["key"]


def test_subclass_with_attributes():
    d = Named("n", {"a": 1})
    assert d.name == "n"
    assert type(d.copy()) is ConcurrentDict  # as dict.copy of a subclass of dict
    assert weakref.ref(d)() is d


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    for d in (ConcurrentDict(), ConcurrentDict({k: [k] for k in range(500)}), Sub(a=1)):
        loaded = pickle.loads(pickle.dumps(d, protocol))
        assert type(loaded) is type(d)
        assert loaded == d
    d = Named("n", {"a": 1})
    loaded = pickle.loads(pickle.dumps(d, protocol))
    assert (type(loaded), loaded.name, plain(loaded)) == (Named, "n", {"a": 1})


def test_pickle_of_a_cycle():
    d = ConcurrentDict()
    d["self"] = [d]
    loaded = pickle.loads(pickle.dumps(d))
    assert loaded["self"][0] is loaded


def test_copy():
    inner = []
    d = Named("n", {"a": inner})
    shallow = copy.copy(d)
    assert (type(shallow), shallow.name) == (Named, "n")
    assert shallow["a"] is inner
    deep = copy.deepcopy(d)
    assert deep == d
    assert deep["a"] is not inner
    d["self"] = d
    deep = copy.deepcopy(d)
    assert deep["self"] is deep


def test_weak_references():
    d = ConcurrentDict()
    reference = weakref.ref(d)
    assert reference() is d
    del d
    assert reference() is None


def test_references_are_neither_lost_nor_leaked():
    class Thing:
        pass

    key, value = Thing(), Thing()
    before = sys.getrefcount(key), sys.getrefcount(value)

    def check():
        assert (sys.getrefcount(key), sys.getrefcount(value)) == before

    d = ConcurrentDict()
    d[key] = value
    d[key] = value
    d.setdefault(key, value)
    assert d[key] is d.get(key) is value
    assert list(d.items()) == [(key, value)]
    assert d.replace(key, value, value)
    assert d.compute(key, lambda old: old) is value
    del d[key]
    check()
    d[key] = value
    assert d.pop(key) is value
    check()
    d[key] = value
    assert d.popitem() == (key, value)
    check()
    d[key] = value
    assert d.remove(key, value)
    check()
    d.update({key: value})
    d.clear()
    check()
    d[key] = value
    half = iter(d)
    next(half)
    del half
    copied = d.copy() | d
    del d, copied
    check()
    iterator = iter(ConcurrentDict({key: value}).items())
    del iterator
    check()
