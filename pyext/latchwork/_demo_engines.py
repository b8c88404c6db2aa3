"""The three engines of the demo. Each gathers a file's counts by itself, then adds them to an index
that all threads share; they differ in that index and in what of the work runs detached."""

from __future__ import annotations

import importlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from latchwork import AtomicInt, ConcurrentDict

from ._demo_corpus import IDENTIFIER


class Engine(Protocol):
    """An empty index at first. `add` is called by many threads at once, `counts` after them."""

    def add(self, texts: Sequence[bytes], /) -> None: ...

    def counts(self) -> dict[bytes, int]: ...


def count_words(text: bytes) -> Counter[bytes]:
    found = Counter(IDENTIFIER.findall(text))
    del found[b""]  # what a number leaves
    return found


class LockedDict:
    """What one writes with the standard library alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._index: dict[bytes, int] = {}

    def add(self, texts: Sequence[bytes], /) -> None:
        index = self._index
        for text in texts:
            found = count_words(text)
            with self._lock:
                for word, count in found.items():
                    # Not index.get(word, 0): free-threaded 3.13 yields there some 40 times, for a
                    # lock that the same call holds, if another thread stored the value.
                    if word in index:
                        index[word] += count
                    else:
                        index[word] = count

    def counts(self) -> dict[bytes, int]:
        return self._index


class SharedDict:
    """The same without a lock: each word has an atomic count in a dict that all may write."""

    def __init__(self) -> None:
        self._index: ConcurrentDict[bytes, AtomicInt] = ConcurrentDict()

    def add(self, texts: Sequence[bytes], /) -> None:
        index = self._index
        for text in texts:
            for word, count in count_words(text).items():
                cell = index.get(word)
                if cell is None:
                    cell = index.setdefault(word, AtomicInt())
                cell.add(count)

    def counts(self) -> dict[bytes, int]:
        return {word: cell.load() for word, cell in self._index.items()}


@dataclass(frozen=True)
class EngineKind:
    name: str
    make: Callable[[], Engine] | None
    missing: str = ""  # why `make` is None, and what to do about it


def native() -> EngineKind:
    """The C extension of examples/wordindex, which is installed by itself."""
    name = "C extension (wordindex)"
    how = "in a checkout of latchwork: pip install --no-build-isolation ./examples/wordindex"
    try:
        module: Any = importlib.import_module("wordindex")
    except ModuleNotFoundError:
        return EngineKind(name, None, f"not installed; {how}")
    except ImportError as error:
        return EngineKind(name, None, f"cannot be imported ({error}); {how}")
    if not hasattr(module, "Index"):
        return EngineKind(name, None, f"not installed (another wordindex is there); {how}")
    return EngineKind(name, module.Index)


def engine_kinds() -> list[EngineKind]:
    return [
        EngineKind("dict + threading.Lock", LockedDict),
        EngineKind("ConcurrentDict + AtomicInt", SharedDict),
        native(),
    ]
