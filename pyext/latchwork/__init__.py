# SPDX-License-Identifier: BSD-2-Clause
"""Concurrency primitives: a thin binding over the C library of the same name.

The C library comes with the package: get_include(), get_sources() and get_cmake_dir() say where,
for extension modules that build with it.
"""

from __future__ import annotations

import collections.abc as _abc
import os as _os
from threading import BrokenBarrierError

from latchwork._core import (
    ABI_VERSION,
    MISSING,
    AtomicInt,
    Barrier,
    BoundedSemaphore,
    ConcurrentDict,
    Condition,
    Event,
    Latch,
    Mutex,
    Once,
    RMutex,
    RWLock,
    Semaphore,
    __version__,
    critical_section,
    flush,
    stats,
)
from latchwork._core import ConcurrentDictItems as _Items
from latchwork._core import ConcurrentDictKeys as _Keys
from latchwork._core import ConcurrentDictValues as _Values
from latchwork._core import MissingType as MissingType
from latchwork._core import RWLockReader as RWLockReader
from latchwork._core import RWLockWriter as RWLockWriter

__all__ = [
    "ABI_VERSION",
    "MISSING",
    "AtomicInt",
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "ConcurrentDict",
    "Condition",
    "Event",
    "Latch",
    "Mutex",
    "Once",
    "RMutex",
    "RWLock",
    "Semaphore",
    "__version__",
    "critical_section",
    "flush",
    "get_cmake_dir",
    "get_include",
    "get_sources",
    "stats",
]

_abc.MutableMapping.register(ConcurrentDict)
_abc.KeysView.register(_Keys)
_abc.ValuesView.register(_Values)
_abc.ItemsView.register(_Items)

_HERE = _os.path.dirname(_os.path.abspath(__file__))


def get_include() -> str:
    """The folder for an extension's include path; it contains latchwork/cpython.h."""
    return _os.path.join(_HERE, "include")


def get_sources() -> list[str]:
    """The C files that an extension adds to its own sources, with LW_PYTHON defined."""
    return [_os.path.join(_HERE, "src", "all.c")]


def get_cmake_dir() -> str:
    """The folder for CMake's latchwork_DIR or CMAKE_PREFIX_PATH: find_package(latchwork)."""
    return _os.path.join(_HERE, "cmake")
