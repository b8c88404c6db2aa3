"""Rows of the binding; run.py starts this in an environment that has the package.

    python bench_python.py OUT.json --repetitions N --min-time SECONDS

Each repetition times all cases in a new random order, so that what disturbs the machine for a while
disturbs all alike. Times are nanoseconds an operation: of the processor where one thread works, of
the wall clock over the operations of all where several do.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import random
import threading
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import latchwork

OURS = "latchwork"
KEYS = 1024


@dataclass
class Case:
    row: str
    impl: str
    threads: int
    operations: int  # that one run of the statement does
    statement: str
    # Makes what the statement sees, once a repetition; index is the thread's.
    make: Callable[[], Callable[[int], dict[str, object]]] = field(repr=False)
    runs: int = 0
    times: list[float] = field(default_factory=list)

    def once(self, runs: int) -> float:
        """Seconds that it takes each thread to run the statement so many times, all at once."""
        names = self.make()
        if self.threads == 1:
            # The thread's processor time, which other load does not disturb.
            return timeit.Timer(self.statement, timer=time.thread_time, globals=names(0)).timeit(
                runs
            )
        timers = [timeit.Timer(self.statement, globals=names(i)) for i in range(self.threads)]
        start = threading.Barrier(self.threads)
        clock = timeit.default_timer
        begun = [0.0] * self.threads
        ended = [0.0] * self.threads

        def work(index: int) -> None:
            start.wait()
            begun[index] = clock()
            timers[index].timeit(runs)
            ended[index] = clock()

        workers = [threading.Thread(target=work, args=(i,)) for i in range(self.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return max(ended) - min(begun)

    def calibrate(self, seconds: float) -> None:
        self.runs = 1
        while (taken := self.once(self.runs)) < seconds / 4:
            self.runs *= 4
        self.runs = max(1, round(self.runs * seconds / taken))

    def repeat(self) -> None:
        total = self.runs * self.threads * self.operations
        self.times.append(self.once(self.runs) * 1e9 / total)


def dict_cases() -> list[Case]:
    numbers = random.Random(1).sample(range(KEYS), KEYS)

    def keys(prefix: str) -> list[str]:
        """New strings at each call: threads that share them would wait for each other's counts."""
        return [f"{prefix}{i:04}" for i in numbers]

    def make(factory: Callable[[], object]) -> Callable[[], Callable[[int], dict[str, object]]]:
        def fresh() -> Callable[[int], dict[str, object]]:
            d = factory()
            for i, key in enumerate(keys("key")):
                d[key] = i % 256  # type: ignore[index] # never counted: small numbers are immortal
            lock = threading.Lock()

            def names(index: int) -> dict[str, object]:
                mine = keys("key")
                half = KEYS // 2 * index
                new = keys(f"thread{index}")
                return {"d": d, "lock": lock, "keys": mine[half:] + mine[:half], "new": new}

            return names

        return fresh

    def rows(row: str, threads: int, operations: int, plain: str, locked: str) -> list[Case]:
        return [
            Case(row, OURS, threads, operations, plain, make(latchwork.ConcurrentDict)),
            Case(row, "dict", threads, operations, plain, make(dict)),
            Case(row, "dict + threading.Lock", threads, operations, locked, make(dict)),
        ]

    get = "for k in keys: d[k]"
    get_locked = "for k in keys:\n  with lock: d[k]"
    put = "for k in keys: d[k] = 1"
    put_locked = "for k in keys:\n  with lock: d[k] = 1"
    churn = "for k in new:\n  d[k] = 1\n  del d[k]"
    churn_locked = "for k in new:\n  with lock: d[k] = 1\n  with lock: del d[k]"
    return [
        *rows("d[k]", 1, KEYS, get, get_locked),
        *rows("d[k]", 2, KEYS, get, get_locked),
        *rows("d[k] = v", 1, KEYS, put, put_locked),
        *rows("d[k] = v", 2, KEYS, put, put_locked),
        *rows("d[k] = v; del d[k]", 1, KEYS, churn, churn_locked),
        *rows("d[k] = v; del d[k]", 2, KEYS, churn, churn_locked),
        *rows(
            "for k, v in d.items()",
            1,
            KEYS,
            "for k, v in d.items(): pass",
            "with lock: items = list(d.items())\nfor k, v in items: pass",
        ),
    ]


def counter_cases() -> list[Case]:
    class Box:
        __slots__ = ("n",)
        n: int

    def make() -> Callable[[int], dict[str, object]]:
        box = Box()
        box.n = 0
        names = {"n": latchwork.AtomicInt(), "box": box, "lock": threading.Lock()}
        return lambda _: names

    rows = []
    for threads in (1, 2):
        for impl, statement in (
            (OURS, "n.add(1)"),
            ("int + threading.Lock", "with lock: box.n += 1"),
            ("int, unprotected", "box.n += 1"),
        ):
            rows.append(Case("count up", impl, threads, 1, statement, make))
    return rows


def lock_cases() -> list[Case]:
    rows = []

    def add(row: str, threads: int, ours: str, theirs: str, statement: str, peer: str) -> None:
        kinds = ((OURS, getattr(latchwork, ours)), (peer, getattr(threading, theirs)))
        for impl, factory in kinds:

            def make(
                factory: Callable[[], object] = factory,
            ) -> Callable[[int], dict[str, object]]:
                names = {"lock": factory()}
                return lambda _: names

            rows.append(Case(row, impl, threads, 1, statement, make))

    enter = "with lock: pass"
    for threads in (1, 2):
        add("with lock: pass", threads, "Mutex", "Lock", enter, "threading.Lock")
        add("with RMutex: pass", threads, "RMutex", "RLock", enter, "threading")
        add("with Semaphore: pass", threads, "Semaphore", "Semaphore", enter, "threading")
    notify = "with lock: lock.notify()"
    add("with Condition: notify, none waits", 1, "Condition", "Condition", notify, "threading")
    add("Event.is_set", 1, "Event", "Event", "lock.is_set()", "threading")
    add("Event.set, clear", 1, "Event", "Event", "lock.set(); lock.clear()", "threading")

    for impl, event in ((OURS, latchwork.Event), ("threading", threading.Event)):

        def make_pair(
            event: Callable[[], Any] = event,
        ) -> Callable[[int], dict[str, object]]:
            pair = event(), event()
            pair[0].set()
            return lambda index: {"own": pair[index], "other": pair[1 - index]}

        turn = "own.wait(); own.clear(); other.set()"
        rows.append(Case("Event: a turn of two threads", impl, 2, 1, turn, make_pair))
    return rows


def rwlock_cases() -> list[Case]:
    plain, pair = "with lock: pass", "lock.acquire(); lock.release()"
    kinds: list[tuple[str, Callable[[], object], dict[str, str]]] = [
        (
            OURS,
            latchwork.RWLock,
            {
                "with RWLock.read(): pass": "with lock.read(): pass",
                "with RWLock.write(): pass": "with lock.write(): pass",
                "RWLock.acquire_read, release_read": "lock.acquire_read(); lock.release_read()",
            },
        ),
        (
            "threading.Lock",
            threading.Lock,
            {
                "with RWLock.read(): pass": plain,
                "with RWLock.write(): pass": plain,
                "RWLock.acquire_read, release_read": pair,
            },
        ),
    ]
    names: dict[str, object] = {}
    with contextlib.suppress(ImportError):  # there is none for some interpreters
        other = importlib.import_module("ft_utils.synchronization")
        names = {"read": other.RWReadContext, "write": other.RWWriteContext}
        statements = {
            "with RWLock.read(): pass": "with read(lock): pass",
            "with RWLock.write(): pass": "with write(lock): pass",
            "RWLock.acquire_read, release_read": "lock.lock_read(); lock.unlock_read()",
        }
        kinds.append(("ft_utils.RWLock", other.RWLock, statements))
    rows = []
    for threads in (1, 2):
        for impl, factory, statements in kinds:

            def make(
                factory: Callable[[], object] = factory,
            ) -> Callable[[int], dict[str, object]]:
                seen = {"lock": factory(), **names}
                return lambda _: seen

            for row, statement in statements.items():
                rows.append(Case(row, impl, threads, 1, statement, make))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--repetitions", type=int, required=True)
    parser.add_argument("--min-time", type=float, required=True, help="seconds a repetition")
    arguments = parser.parse_args()
    cases = [*dict_cases(), *counter_cases(), *lock_cases(), *rwlock_cases()]
    for case in cases:
        case.calibrate(arguments.min_time)
    for _ in range(arguments.repetitions):
        for case in random.sample(cases, len(cases)):
            case.repeat()
    keep = ("row", "impl", "threads", "times")
    answer = [{name: getattr(case, name) for name in keep} for case in cases]
    arguments.out.write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
