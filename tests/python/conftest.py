# SPDX-License-Identifier: BSD-2-Clause
"""A test that hangs is killed, and every thread's stack says where it was."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from concurrency import SANITIZED, scaled
from hypothesis import settings

# Many times what the slowest test takes.
LIMIT_S = 240 if SANITIZED else 120

settings.register_profile("here", max_examples=scaled(100), deadline=None)
settings.load_profile("here")

_report = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # Standard error as it is outside of tests: inside, it is captured, and would be lost.
    config.stash[_report] = os.dup(2)


def pytest_collection_finish() -> None:
    # Many tests collect garbage; what pytest and the modules hold is none, and is large.
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_report])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    report = item.config.stash[_report]
    faulthandler.dump_traceback_later(LIMIT_S, exit=True, file=report)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def on_signal() -> Iterator[Callable[..., object]]:
    """Sets the handler of the alarm; both are taken back at the end."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda handler: signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
