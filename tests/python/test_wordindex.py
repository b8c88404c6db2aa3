# SPDX-License-Identifier: BSD-2-Clause
"""The C extension of examples/wordindex by itself: right counts beside other threads, memory."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections import Counter

import pytest
import wordindex
from hypothesis import given
from hypothesis import strategies as st
from latchwork._demo_engines import count_words


@given(st.lists(st.binary() | st.text("aZ_09é \n", max_size=40).map(str.encode)))
def test_wordindex_reads_as_the_regular_expression_does(texts: list[bytes]) -> None:
    expected: Counter[bytes] = Counter()
    for text in texts:
        expected.update(count_words(text))
    index = wordindex.Index()
    index.add(texts)
    assert index.counts() == expected
    assert len(index) == len(expected)


def test_wordindex_takes_bytes_only() -> None:
    index = wordindex.Index()
    with pytest.raises(TypeError, match="must be bytes objects, not str"):
        index.add([b"spam", "spam"])
    with pytest.raises(TypeError):
        index.add(None)
    with pytest.raises(TypeError):
        wordindex.Index(1)
    assert index.counts() == {}


def test_wordindex_counts_while_others_add() -> None:
    """Entries for a moving set of words, from four threads, while a fifth reads."""
    index = wordindex.Index()
    texts = [b" ".join(b"w%d" % (n * k % 3001) for n in range(3001)) for k in range(1, 9)]
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(sum(index.counts().values()))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=index.add, args=([t] * 20,)) for t in texts for _ in "ab"]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    expected: Counter[bytes] = Counter()
    for text in texts:
        expected.update(text.split() * 40)
    assert index.counts() == expected
    assert seen == sorted(seen)


def test_wordindex_gives_its_memory_back() -> None:
    """Entries made by threads that are gone, in an index that a live thread drops."""
    texts = [b" ".join(b"w%d" % n for n in range(10_000))]

    def traced() -> int:
        return tracemalloc.get_traced_memory()[0]

    def fill_and_drop() -> int:
        index = wordindex.Index()
        threads = [threading.Thread(target=index.add, args=(texts,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return traced()

    tracemalloc.start()
    try:
        before = traced()
        for _ in range(5):
            used = fill_and_drop() - before
        assert used > 1_000_000
        # A thread that was joined may still be on its way out; what it owned goes when it is.
        deadline = time.monotonic() + 60
        while traced() - before > used / 10:
            assert time.monotonic() < deadline, f"{traced() - before} bytes stay"
            time.sleep(0.01)
    finally:
        tracemalloc.stop()
