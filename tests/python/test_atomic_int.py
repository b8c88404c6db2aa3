# SPDX-License-Identifier: BSD-2-Clause
"""AtomicInt: 64 bits, no lost update, no silent wrap."""

from __future__ import annotations

import copy
import functools
import itertools
import operator
import pickle

import pytest
from concurrency import run_threads, scaled
from hypothesis import given
from hypothesis import strategies as st
from latchwork import AtomicInt

LOW, HIGH = -(2**63), 2**63 - 1
INT64 = st.integers(LOW, HIGH) | st.sampled_from([LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH])

METHODS = {
    "add": operator.add,
    "sub": operator.sub,
    "and_": operator.and_,
    "or_": operator.or_,
    "xor": operator.xor,
    "exchange": lambda _, n: n,
}


def test_load_and_store():
    a = AtomicInt()
    assert a.load() == 0
    assert a.store(HIGH) is None
    assert a.load() == HIGH
    assert AtomicInt(LOW).load() == LOW


@pytest.mark.parametrize("name", METHODS)
@given(before=INT64, operand=INT64)
def test_methods_return_the_value_from_before(name, before, operand):
    a = AtomicInt(before)
    after = METHODS[name](before, operand)
    if LOW <= after <= HIGH:
        assert getattr(a, name)(operand) == before
        assert a.load() == after
    else:
        with pytest.raises(OverflowError, match="does not fit"):
            getattr(a, name)(operand)
        assert a.load() == before


@given(before=INT64, expected=INT64, desired=INT64)
def test_compare_exchange(before, expected, desired):
    a = AtomicInt(before)
    assert a.compare_exchange(before, desired) is True
    assert a.load() == desired
    a.store(before)
    assert a.compare_exchange(expected, desired) is (before == expected)
    assert a.load() == (desired if before == expected else before)


@pytest.mark.parametrize("name", [*METHODS, "store"])
@pytest.mark.parametrize("operand", [HIGH + 1, LOW - 1, 2**64, 2**200])
def test_an_argument_that_does_not_fit(name, operand):
    a = AtomicInt(5)
    with pytest.raises(OverflowError):
        getattr(a, name)(operand)
    assert a.load() == 5
    with pytest.raises(OverflowError):
        AtomicInt(operand)
    for args in ((operand, 1), (5, operand)):
        with pytest.raises(OverflowError):
            a.compare_exchange(*args)
    assert a.load() == 5


@pytest.mark.parametrize("name", [*METHODS, "store"])
@pytest.mark.parametrize("operand", ["1", 1.0, None, [1]])
def test_an_argument_that_is_no_integer(name, operand):
    a = AtomicInt(5)
    with pytest.raises(TypeError):
        getattr(a, name)(operand)
    with pytest.raises(TypeError):
        AtomicInt(operand)
    assert a.load() == 5


def test_index_is_asked_and_its_errors_passed_on():
    class Seven:
        def __index__(self):
            return 7

    class Bad:
        def __index__(self):
            raise ZeroDivisionError

    a = AtomicInt(Seven())
    assert a.add(Seven()) == 7
    assert a.load() == 14
    with pytest.raises(ZeroDivisionError):
        a.add(Bad())
    assert a.load() == 14


def test_wrong_numbers_of_arguments():
    a = AtomicInt()
    for call in (a.add, a.store, a.compare_exchange, lambda: a.load(1)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError):
        a.compare_exchange(1)
    with pytest.raises(TypeError):
        AtomicInt(1, 2)
    with pytest.raises(TypeError):
        AtomicInt(value=1)


def test_as_a_number():
    a = AtomicInt(5)
    assert int(a) == operator.index(a) == 5
    assert hex(a) == "0x5"
    assert list(range(10))[a] == 5
    assert repr(a) == "AtomicInt(5)"
    assert repr(AtomicInt(LOW)) == f"AtomicInt({LOW})"
    assert bool(a)
    assert not AtomicInt()
    assert AtomicInt(a).load() == 5


def test_no_operators_that_would_look_atomic():
    a = AtomicInt(5)
    for operation in (operator.add, operator.iadd, operator.sub, operator.mul, operator.or_):
        with pytest.raises(TypeError):
            operation(a, 1)
        with pytest.raises(TypeError):
            operation(1, a)
    with pytest.raises(TypeError):
        operator.lt(a, 6)


def test_compared_and_hashed_by_identity():
    a = AtomicInt(5)
    assert a == a
    assert a != 5
    assert a != AtomicInt(5)
    table = {a: "found"}
    a.store(6)
    assert table[a] == "found"


def test_neither_copied_nor_pickled_nor_subclassed():
    for function in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            function(AtomicInt(5))
    with pytest.raises(TypeError):
        type("Sub", (AtomicInt,), {})


def test_threads_lose_no_update():
    counter, bits, rounds = AtomicInt(), AtomicInt(), scaled(20_000)
    tickets = run_threads(lambda: [counter.add(1) for _ in range(rounds)], count=4)
    assert counter.load() == 4 * rounds
    assert sorted(itertools.chain(*tickets)) == list(range(4 * rounds))

    def flip(bit):
        for _ in range(rounds):
            assert not bits.or_(1 << bit) >> bit & 1
            assert bits.and_(~(1 << bit)) >> bit & 1
            assert not bits.xor(1 << bit) >> bit & 1
            assert bits.xor(1 << bit) >> bit & 1
        bits.or_(1 << bit)

    run_threads(*[lambda bit=bit: flip(bit) for bit in range(3)])
    assert bits.load() == 0b111


def test_threads_hit_the_limit_together():
    counter = AtomicInt(HIGH - 1000)

    def climb():
        done = 0
        while True:
            try:
                counter.add(1)
            except OverflowError:
                return done
            done += 1

    assert sum(run_threads(climb, count=4)) == 1000
    assert counter.load() == HIGH


def test_compare_exchange_elects_one():
    for _ in range(100):
        winner = AtomicInt()
        attempts = [functools.partial(winner.compare_exchange, 0, n) for n in range(1, 4)]
        won = run_threads(*attempts)
        assert sum(won) == 1
        assert winner.load() == won.index(True) + 1
