# SPDX-License-Identifier: BSD-2-Clause
"""keys(), values() and items() of ConcurrentDict do what those of dict do, but for order; and what
| makes of a ConcurrentDict and another mapping."""

from __future__ import annotations

import collections
import copy
import itertools
import operator
import pickle
import threading
import types
from collections.abc import Mapping

import pytest
from concurrency import SANITIZED, Faster, run_threads, scaled
from hypothesis import given
from hypothesis import strategies as st
from latchwork import ConcurrentDict

NAN = float("nan")


class SetOfOwn(set):
    pass


class TupleOfOwn(tuple):
    __slots__ = ()


def isdisjoint(one, other):
    return one.isdisjoint(other)


ARITHMETIC = [
    operator.and_,
    operator.or_,
    operator.sub,
    operator.xor,
    operator.iand,
    operator.ior,
    operator.isub,
    operator.ixor,
    isdisjoint,
]
OPERATORS = [
    *ARITHMETIC,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.contains,
]

CONTENTS = [
    {},
    {"a": 1},
    {"a": 1, "b": 2},
    {"a": 1.0, "c": 3, "d": 4},
    {1: 1, 2: "y"},
    {True: True, 2.0: "y", 3: None},
    {"a": []},
    {"a": [], "b": 2},
    {"a": [1], "b": 2, "c": {}},
    {NAN: NAN, "n": NAN},
    {(1, 2): 3, ("a", 1): "a"},
]

ITEMS = [
    [],
    ["a"],
    ["a", "b", "z"],
    [1.0, True, 2],
    [("a", 1)],
    [("a", 1), ("b", 2), ("z", 3)],
    [("a", 2), "a", ("a",), ("a", 1, 2), None],
    [TupleOfOwn(("a", 1)), TupleOfOwn((1, 1.0))],
    [(1, 1), (True, True), (2, "y")],
    [NAN, (NAN, NAN), ("n", NAN), float("nan")],
    # Not for a set.
    [[]],
    ["a", []],
    [("a", [])],
    [("a", []), ("b", 2)],
    [([], 1)],
    [(("a", []), 1)],
]

KINDS = ["keys", "values", "items"]
DICT_VIEWS = (type({}.keys()), type({}.items()))


def hashable(items):
    try:
        hash(tuple(items))
    except TypeError:
        return False
    return True


def operands():
    """What a view is combined with: a name, and a function of the type of dictionary in test."""
    for other in (None, 1, "abc"):
        yield repr(other), lambda _, other=other: other
    for form in (set, frozenset, SetOfOwn, dict.fromkeys, list, tuple, iter, collections.deque):
        for items in ITEMS:
            if form in (list, tuple, iter, collections.deque) or hashable(items):
                yield f"{form.__name__}({items})", lambda _, f=form, items=items: f(items)
    for content in CONTENTS:
        for kind in KINDS:
            for form in (dict, collections.UserDict):
                yield (
                    f"{form.__name__}({content}).{kind}()",
                    lambda _, f=form, content=content, kind=kind: getattr(f(content), kind)(),
                )
            yield (
                f"its own type({content}).{kind}()",
                lambda own, content=content, kind=kind: getattr(own(content), kind)(),
            )


OPERANDS = list(operands())[:: 7 if SANITIZED else 1]


def outcome(operation, left, right):
    """What is comparable of the result, or of what was raised."""
    try:
        result = operation(left, right)
    except Exception as error:
        return type(error)
    if isinstance(result, set | frozenset):
        return type(result), sorted(map(repr, result))
    return result


def in_order(n):
    """A dict, with its entries in the n-th order."""

    def make(content):
        orders = list(itertools.permutations(content.items()))
        return dict(orders[n % len(orders)])

    return make


def agrees(operation, make_left, make_right):
    """Do our views give what those of dict do? Their order decides what is met first: any will do,
    since ours have none."""
    ours = outcome(operation, make_left(ConcurrentDict), make_right(ConcurrentDict))
    for n, m in itertools.product(range(6), repeat=2):
        if ours == outcome(operation, make_left(in_order(n)), make_right(in_order(m))):
            return True
    if not isinstance(make_left(ConcurrentDict), DICT_VIEWS):
        return False
    # Here dict's operator comes first. It takes ours for any iterable, and leaves comparison to it.
    if operation in (operator.eq, operator.ne):
        return any(
            ours == outcome(operation, make_right(in_order(n)), make_left(dict)) for n in range(6)
        )
    if operation in ARITHMETIC:
        return ours == outcome(operation, make_left(dict), list(make_right(ConcurrentDict)))
    return False


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_operators_give_what_those_of_dict_give(content, kind):
    def view(form):
        return getattr(form(content), kind)()

    wrong = []
    for name, operand in OPERANDS:
        for operation in OPERATORS:
            if not agrees(operation, view, operand):
                wrong.append((operation.__name__, "view", name))
            if not agrees(operation, operand, view):
                wrong.append((operation.__name__, name, "view"))
    assert wrong == []


KEYS = st.sampled_from(["a", "b", 1, 1.0, True, NAN, ("a", 1), ("a", ())])
VALUES = st.sampled_from(["a", 1, 1.0, (), NAN, [], {}])
PAIRS = st.tuples(KEYS | VALUES, VALUES)
DICTS = st.dictionaries(KEYS, VALUES, max_size=3)


@given(
    st.sampled_from(OPERATORS),
    st.sampled_from(KINDS),
    DICTS,
    st.sampled_from([set, frozenset, list, iter]) | st.sampled_from(KINDS),
    DICTS,
    st.lists(KEYS | VALUES | PAIRS, max_size=4),
)
def test_operators_give_what_those_of_dict_give_for_anything(
    operation, kind, content, form, other, items
):
    def view(own):
        return getattr(own(content), kind)()

    def of_own(own):
        return getattr(own(other), form)()

    def of_dict(_):
        return getattr(other, form)()

    def collection(_):
        return form(items)

    if form in (set, frozenset):
        items = [item for item in items if hashable([item])]
    for operand in (of_own, of_dict) if form in KINDS else (collection,):
        assert agrees(operation, view, operand)
        assert agrees(operation, operand, view)


class Hashed:
    """Counts what is asked of it."""

    def __init__(self):
        self.hashes = 0

    def __hash__(self):
        self.hashes += 1
        return id(self)


@pytest.mark.parametrize("kind", ["keys", "items"])
def test_a_small_operand_does_not_cost_a_walk(kind):
    content = {Hashed(): k for k in range(1000)}
    d = ConcurrentDict(content)
    few = list(content)[:3] if kind == "keys" else list(content.items())[:3]
    view = getattr(d, kind)()
    small = getattr(ConcurrentDict(list(content.items())[:3]), kind)()
    operands = [few, iter(few), set(few), frozenset(few), dict.fromkeys(few), small]
    reverse = [list(few), set(few), frozenset(few), small]
    for key in content:
        key.hashes = 0
    for operand in operands:
        assert view & operand == set(few)
    for operand in reverse:
        assert operand & view == set(few)
    for operand in (few, set(few), small):
        assert not view.isdisjoint(operand)
    assert small <= view
    assert not view <= small
    assert view != small
    assert sum(key.hashes for key in list(content)[3:]) == 0
    # Nor is a large operand walked where the dictionary is small.
    large = set(getattr(content, kind)())
    for key in content:
        key.hashes = 0
    assert small & large == large & small == set(few)
    assert not small.isdisjoint(large)
    assert sum(key.hashes for key in list(content)[3:]) == 0


def test_operators_pass_errors_on():
    class Bad:
        def __eq__(self, other):
            raise ZeroDivisionError

        __hash__ = None

    class Worse:
        def __hash__(self):
            raise ZeroDivisionError

    def broken():
        yield "a"
        raise ZeroDivisionError

    d = ConcurrentDict(a=Bad())
    for operation in ARITHMETIC:
        for operand in ([Worse()], broken()):
            with pytest.raises(ZeroDivisionError):
                operation(ConcurrentDict(b=1).keys(), operand)
    for operation in (
        operator.and_,
        operator.xor,
        operator.eq,
        operator.le,
        operator.ge,
        isdisjoint,
    ):
        for operand in (ConcurrentDict(a=1).items(), {"a": 1}.items()):
            with pytest.raises(ZeroDivisionError):
                operation(d.items(), operand)
    with pytest.raises(ZeroDivisionError):
        assert ("a", 1) in d.items()


def test_operators_hold_nothing_while_they_call():
    """What they call changes the very dictionary, and combines its views."""
    d = ConcurrentDict({k: k for k in range(100)})
    depth = 0

    def intrude():
        nonlocal depth
        if depth == 0:
            depth += 1
            d.pop(len(d) % 90, None)
            d[object()] = 0
            assert d.keys() & d.keys() == set(d)
            depth -= 1

    class Key:
        def __hash__(self):
            intrude()
            return 1

        def __eq__(self, other):
            intrude()
            return False

    class Value:
        def __eq__(self, other):
            intrude()
            return True

        __hash__ = None

    def intruding():
        for key in range(90, 95):
            intrude()
            yield key

    assert d.keys() & intruding() == set(range(90, 95))
    d[1] = 1
    d["value"] = Value()
    same = {"value": 2}
    keys = [Key() for _ in range(9)]
    assert d.keys() & keys == set()
    assert sum(isinstance(key, Key) for key in d.keys() | keys) == 9
    assert d.keys().isdisjoint(keys)
    assert d.items() & same.items() == {("value", 2)}
    assert ("value", 2) not in d.items() ^ same.items()
    assert d.items() >= same.items()


def test_operators_beside_writers():
    """What is there throughout is found, and what never is, is not."""
    fixed = {("fixed", k): k for k in range(200)}
    d = ConcurrentDict(fixed)
    done = threading.Event()

    def write():
        for k in range(scaled(20_000)):
            d["moving", k % 1000] = k
            d.pop(("moving", (k + 500) % 1000), None)
        done.set()

    def combine():
        absent = {"absent": 1}
        rounds = 0
        while not done.is_set() or rounds == 0:
            rounds += 1
            assert d.keys() & fixed.keys() == fixed.keys()
            assert d.items() & set(fixed.items()) == fixed.items()
            assert fixed.keys() - d.keys() == set()
            assert d.keys() | fixed.keys() >= fixed.keys()
            assert not (d.items() ^ fixed.items()) & fixed.items()
            assert d.items() >= fixed.items()
            assert d.keys().isdisjoint(absent)

    with Faster():
        run_threads(write, combine, combine)


# ---- what else a view has ----


@pytest.mark.parametrize("kind", KINDS)
def test_views_beside_those_of_dict(kind):
    content = {"a": 1, "b": [2]}
    d = ConcurrentDict(content)
    ours, theirs = getattr(d, kind)(), getattr(content, kind)()
    assert [name for name in dir(theirs) if not hasattr(ours, name)] == ["__reversed__"]
    assert len(ours) == len(theirs)
    assert sorted(ours, key=repr) == sorted(theirs, key=repr)
    assert isinstance(ours.mapping, type(theirs.mapping))
    assert dict(ours.mapping) == dict(theirs.mapping)
    d["c"] = content["c"] = 3
    assert dict(ours.mapping) == dict(theirs.mapping)
    assert len(ours) == 3
    for view in (ours, theirs):
        with pytest.raises(AttributeError):
            view.mapping = {}
        with pytest.raises(AttributeError):
            view.other = 1
        with pytest.raises(TypeError):
            view.mapping["d"] = 1
        with pytest.raises(TypeError):
            view[0]
        for attempt in (copy.copy, copy.deepcopy, type(view)):
            with pytest.raises(TypeError):
                attempt(view)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="cannot pickle"):
                pickle.dumps(view, protocol)
    assert outcome(lambda view, _: isinstance(hash(view), int), ours, None) == outcome(
        lambda view, _: isinstance(hash(view), int), theirs, None
    )
    # There is no order to reverse, and the name says whose view it is.
    with pytest.raises(TypeError, match="not reversible"):
        reversed(ours)
    assert sorted(eval(repr(ours).removeprefix(f"ConcurrentDict.{kind}")), key=repr) == sorted(
        eval(repr(theirs).removeprefix(f"dict_{kind}")), key=repr
    )


@pytest.mark.parametrize("item", [("a", 1), ["a", 1], ("a", 1.0), TupleOfOwn(("a", 1)), ("a", 2)])
def test_an_item_is_a_pair(item):
    assert (item in ConcurrentDict(a=1).items()) is (item in {"a": 1}.items())


@pytest.mark.parametrize(
    "item", [[], ([],), ([], 1), ({}, 1, 2), (([],), 1), ("a", []), (("a", {}), {})]
)
def test_items_that_have_no_hash(item):
    def is_in(view, _):
        return item in view

    for content in ({}, {"a": []}, {"b": 1}):
        for kind in KINDS:
            ours, theirs = getattr(ConcurrentDict(content), kind)(), getattr(content, kind)()
            assert outcome(is_in, ours, None) == outcome(is_in, theirs, None)


# ---- | with other mappings ----


class Sub(ConcurrentDict):
    pass


class OfOwn(Mapping):
    def __init__(self, **content):
        self.content = content

    def __getitem__(self, key):
        return self.content[key]

    def __iter__(self):
        return iter(self.content)

    def __len__(self):
        return len(self.content)


class Registered:
    """A Mapping by its own word; the rest is as dict.update asks for."""

    def __init__(self, **content):
        self.content = content

    def keys(self):
        return self.content.keys()

    def __getitem__(self, key):
        return self.content[key]


Mapping.register(Registered)


@pytest.mark.parametrize(
    "form",
    [
        ConcurrentDict,
        Sub,
        dict,
        collections.OrderedDict,
        collections.Counter,
        collections.UserDict,
        lambda **content: types.MappingProxyType(content),
        lambda **content: types.MappingProxyType(collections.UserDict(content)),
        lambda **content: collections.ChainMap(content),
        OfOwn,
        Registered,
    ],
)
def test_or_takes_every_mapping(form):
    d = ConcurrentDict(a=1, b=2)
    other = form(b=3, c=4)
    combined = d | other
    assert type(combined) is ConcurrentDict
    assert combined == {"a": 1, "b": 3, "c": 4}
    combined = other | d
    # Its own type comes first here, if that knows what to do.
    expected = collections.ChainMap if isinstance(other, collections.ChainMap) else ConcurrentDict
    assert type(combined) is expected
    assert combined == {"a": 1, "b": 2, "c": 4}
    assert d == {"a": 1, "b": 2}
    d |= other
    assert type(d) is ConcurrentDict
    assert d == {"a": 1, "b": 3, "c": 4}
    # Nor does a subclass of ours give its own type, as with dict.
    assert type(Sub() | other) is ConcurrentDict


def test_or_takes_mappings_only():
    class Unregistered:
        keys = Registered.keys
        __getitem__ = Registered.__getitem__

    d = ConcurrentDict(a=1)
    for other in (None, 1, "ab", [("a", 1)], {1}, Unregistered()):
        for left, right in ((d, other), (other, d)):
            with pytest.raises(TypeError):
                left | right


def test_or_passes_errors_on():
    class Bad(OfOwn):
        def __getitem__(self, key):
            raise ZeroDivisionError

    for left, right in ((ConcurrentDict(), Bad(a=1)), (Bad(a=1), ConcurrentDict())):
        with pytest.raises(ZeroDivisionError):
            left | right
