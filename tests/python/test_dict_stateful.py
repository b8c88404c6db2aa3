# SPDX-License-Identifier: BSD-2-Clause
"""Any sequence of operations on one thread leaves a ConcurrentDict equal to a dict."""

from __future__ import annotations

import copy
import pickle

from concurrency import scaled
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from latchwork import MISSING, ConcurrentDict


class Folded:
    """Foreign comparison, and few hashes."""

    def __init__(self, text):
        self.text = text

    def __hash__(self):
        return len(self.text) % 3

    def __eq__(self, other):
        return isinstance(other, Folded) and self.text.lower() == other.text.lower()

    def __repr__(self):
        return f"Folded({self.text!r})"


KEYS = (
    st.integers(-5, 40)
    | st.sampled_from([0.0, 1.0, 1.5, True, None, 2**61 - 1, 2 * (2**61 - 1), b"a", b""])
    | st.text("ab", max_size=3)
    | st.builds(Folded, st.text("aAbB", max_size=3))
    | st.tuples(st.integers(0, 2) | st.builds(Folded, st.text("aA", max_size=1)), st.text("a"))
)
VALUES = st.integers(-3, 3)


def outcome(function, *args):
    try:
        return function(*args)
    except KeyError as error:
        return ("KeyError", *error.args)


class BesideADict(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.ours = ConcurrentDict()
        self.theirs = {}

    def both(self, function):
        assert outcome(function, self.ours) == outcome(function, self.theirs)

    @rule(key=KEYS, value=VALUES)
    def store(self, key, value):
        self.both(lambda d: d.__setitem__(key, value))

    @rule(key=KEYS)
    def delete(self, key):
        self.both(lambda d: d.__delitem__(key))

    @rule(key=KEYS)
    def read(self, key):
        self.both(lambda d: d[key])
        self.both(lambda d: d.get(key, "none"))
        self.both(lambda d: key in d)

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key, value):
        self.both(lambda d: d.setdefault(key, value))

    @rule(key=KEYS)
    def pop(self, key):
        self.both(lambda d: d.pop(key))
        self.both(lambda d: d.pop(key, "none"))

    @rule()
    def popitem(self):
        if self.theirs:
            key, value = self.ours.popitem()
            assert self.theirs.pop(key) == value

    @rule(pairs=st.lists(st.tuples(KEYS, VALUES), max_size=60))
    def update(self, pairs):
        self.both(lambda d: d.update(pairs))

    @rule(n=st.integers(0, 600))
    def grow(self, n):
        self.both(lambda d: d.update(dict.fromkeys(range(n), 0)))

    @rule(n=st.integers(0, 600))
    def shrink(self, n):
        for key in range(n):
            self.both(lambda d, key=key: d.pop(key, None))

    @rule()
    def clear(self):
        self.both(lambda d: d.clear())

    @rule(key=KEYS, expected=VALUES, value=VALUES)
    def replace(self, key, expected, value):
        done = self.ours.replace(key, expected, value)
        assert done == (key in self.theirs and self.theirs[key] is expected)
        if done:
            self.theirs[key] = value

    @rule(key=KEYS, expected=VALUES)
    def remove(self, key, expected):
        done = self.ours.remove(key, expected)
        assert done == (key in self.theirs and self.theirs[key] is expected)
        if done:
            del self.theirs[key]

    @rule(key=KEYS, value=VALUES | st.just(MISSING))
    def compute(self, key, value):
        seen = []
        assert self.ours.compute(key, lambda old: seen.append(old) or value) == value
        assert seen == [self.theirs.get(key, MISSING)]
        if value is MISSING:
            self.theirs.pop(key, None)
        else:
            self.theirs[key] = value

    @rule(key=KEYS, value=VALUES)
    def add(self, key, value):
        total = self.theirs.get(key, 0) + value
        assert self.ours.add(key, value) == total
        self.theirs[key] = total

    @rule(other=st.dictionaries(KEYS, VALUES, max_size=5))
    def combine(self, other):
        assert self.ours | other == self.theirs | other
        assert other | self.ours == other | self.theirs
        self.ours |= ConcurrentDict(other)
        self.theirs |= other

    @rule(
        way=st.sampled_from(
            [ConcurrentDict.copy, copy.copy, lambda d: pickle.loads(pickle.dumps(d))]
        )
    )
    def replace_by_a_copy(self, way):
        self.ours = way(self.ours)

    @invariant()
    def equal(self):
        assert len(self.ours) == len(self.theirs)
        assert self.ours == self.theirs
        assert self.theirs == self.ours
        assert len(list(self.ours)) == len(self.theirs)
        for key, value in self.ours.items():
            assert self.theirs[key] == value


BesideADict.TestCase.settings = settings(
    max_examples=scaled(60),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # on a busy machine: it says nothing of the dict
)
TestBesideADict = BesideADict.TestCase
