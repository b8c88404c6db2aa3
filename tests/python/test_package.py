# SPDX-License-Identifier: BSD-2-Clause
"""What comes with the package: stubs, headers, sources, a CMake package, the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import latchwork
import pytest
from concurrency import FREE_THREADED, run_python


def module(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "latchwork", *arguments], capture_output=True, text=True, check=False
    )


def test_versions_agree():
    header = Path(latchwork.get_include(), "latchwork", "config.h").read_text()
    assert f'#define LW_VERSION_STRING "{latchwork.__version__}"' in header
    assert re.search(rf"#define LW_ABI_VERSION {latchwork.ABI_VERSION}\b", header)
    assert metadata.version("latchwork") == latchwork.__version__


def test_public_names():
    assert len(set(latchwork.__all__)) == len(latchwork.__all__)
    for name in latchwork.__all__:
        assert getattr(latchwork, name) is not None
    kinds = [getattr(latchwork, name) for name in latchwork.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type)]
    kinds.remove(latchwork.BrokenBarrierError)  # threading's
    assert len(kinds) == 13
    for kind in kinds:
        assert kind.__module__ == "latchwork"
        assert kind.__doc__
        for attribute, value in vars(kind).items():
            if callable(value) and not attribute.startswith("__"):
                assert value.__doc__, f"{kind.__name__}.{attribute} has no description"


def test_headers_and_sources_are_there():
    include = Path(latchwork.get_include())
    for name in ("cpython.h", "latchwork.h", "atomic/gnu.h"):
        assert (include / "latchwork" / name).is_file()
    (source,) = latchwork.get_sources()
    text = Path(source).read_text()
    parts = re.findall(r'#include "(.*)"', text)
    assert len(parts) > 8
    for part in parts:
        assert Path(source, "..", part).resolve().is_file(), part


EXTENSION = r"""
#include <latchwork/cpython.h>

static lw_map_t *map;
static lw_mutex_t mutex;

static PyObject *count(PyObject *module, PyObject *word)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(word, &size);
    uint64_t sum;
    (void)module;
    if (text == NULL) {
        return NULL;
    }
    lw_mutex_lock(&mutex);
    lw_status status = lw_map_add_bytes(map, text, (size_t)size, 1, &sum);
    lw_mutex_unlock(&mutex);
    return lw_py_set_error(status) < 0 ? NULL : PyLong_FromUnsignedLongLong(sum);
}

static int exec(PyObject *module)
{
    lw_map_config config = {.keys = LW_KEY_BYTES};
    if (lw_py_init(module) < 0) {
        return -1;
    }
    map = lw_map_new(&config);
    return map != NULL ? 0 : -1;
}

static PyMethodDef methods[] = {{"count", count, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)exec},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "counting", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_counting(void)
{
    return PyModuleDef_Init(&definition);
}
"""

USE = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import counting, latchwork
def work():
    for n in range(5000):
        counting.count("a")
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert counting.count("a") == 15001
assert counting.count("b") == 1
if hasattr(sys, "_is_gil_enabled"):
    assert sys._is_gil_enabled() is not bool(sys.argv[2:]), "the GIL came back"
"""


def run_extension(folder):
    run_python(USE, str(folder), *(["free-threaded"] if FREE_THREADED else []))


def checked(*command):
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_an_extension_by_hand(tmp_path):
    """get_include() and get_sources() are all that a compiler needs."""
    (tmp_path / "counting.c").write_text(EXTENSION)
    target = tmp_path / f"counting{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    checked(
        *compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-DLW_PYTHON",
        f"-I{latchwork.get_include()}", f"-I{sysconfig.get_path('include')}",
        tmp_path / "counting.c", *latchwork.get_sources(), "-o", target, "-pthread",
    )  # fmt: skip
    run_extension(tmp_path)


def test_an_extension_by_cmake(tmp_path):
    """Here in C++; the library is compiled as C all the same."""
    (tmp_path / "counting.cpp").write_text(EXTENSION)
    (tmp_path / "CMakeLists.txt").write_text(
        f"""
cmake_minimum_required(VERSION 3.20)
project(counting LANGUAGES C CXX)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
find_package(latchwork {latchwork.__version__} REQUIRED)
python_add_library(counting MODULE WITH_SOABI counting.cpp)
target_link_libraries(counting PRIVATE latchwork::python)
"""
    )
    build = tmp_path / "build"
    checked(
        "cmake", "-S", tmp_path, "-B", build, f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dlatchwork_DIR={latchwork.get_cmake_dir()}", "-DCMAKE_BUILD_TYPE=Debug",
    )  # fmt: skip
    checked("cmake", "--build", build)
    run_extension(build)


def test_info():
    done = module("info", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["version"] == latchwork.__version__
    assert facts["abi"] == latchwork.ABI_VERSION
    assert facts["include"] == latchwork.get_include()
    assert facts["kind"].startswith("free-threaded" if FREE_THREADED else "GIL")
    done = module("info")
    assert done.returncode == 0
    assert latchwork.get_include() in done.stdout


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("info", "--nonsense")])
def test_wrong_command_lines(arguments):
    done = module(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_gil_stays_off():
    run_python(
        """
import sys
import latchwork
if hasattr(sys, "_is_gil_enabled"):
    import sysconfig
    assert sys._is_gil_enabled() is not bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
"""
    )


def test_stats_and_flush():
    assert latchwork.flush() is True
    figures = latchwork.stats()
    assert set(figures) == {"threads", "thread_records", "retired", "retired_bytes", "epoch"}
    assert figures["threads"] >= 1
    assert figures["thread_records"] >= figures["threads"]


# ---- types ----

# mypy is compiled for few interpreters, and takes half a minute where it is not.
with_mypy = pytest.mark.skipif(
    FREE_THREADED, reason="the interpreters with a GIL check the same stubs"
)


@with_mypy
def test_the_stubs_agree_with_the_module(tmp_path):
    """mypy's stubtest compares every name, signature and attribute."""
    allowed = tmp_path / "allowed"
    # Classes with a layout of their own: said with typing_extensions.disjoint_base, which the mypy
    # that older interpreters get does not know yet.
    disjoint = ("Barrier", "ConcurrentDict", "Condition", "Event", "RMutex", "Semaphore")
    allowed.write_text("".join(f"latchwork._core.{name}\n" for name in disjoint))
    checked(
        sys.executable, "-m", "mypy.stubtest", "latchwork._core", "--allowlist", allowed,
        "--ignore-unused-allowlist",
    )  # fmt: skip


@with_mypy
def test_what_a_type_checker_makes_of_the_package(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(
        """
import threading
from collections.abc import MutableMapping
from typing import assert_type

from latchwork import (
    MISSING,
    AtomicInt,
    Barrier,
    BoundedSemaphore,
    BrokenBarrierError,
    ConcurrentDict,
    Condition,
    Event,
    Latch,
    MissingType,
    Mutex,
    Once,
    RMutex,
    RWLock,
    Semaphore,
    get_sources,
)

d: ConcurrentDict[str, int] = ConcurrentDict()
assert_type(ConcurrentDict(a=1), ConcurrentDict[str, int])
assert_type(ConcurrentDict({1: "a"}), ConcurrentDict[int, str])
assert_type(ConcurrentDict([(1, "a")]), ConcurrentDict[int, str])
assert_type(ConcurrentDict.fromkeys("ab", 1), ConcurrentDict[str, int])
assert_type(d["a"], int)
assert_type(d.get("a"), int | None)
assert_type(d.get("a", 1), int)
assert_type(d.get("a", "b"), int | str)
assert_type(d.setdefault("a", 1), int)
assert_type(d.pop("a"), int)
assert_type(d.popitem(), tuple[str, int])
assert_type(d.add("a"), int)
assert_type(d.add("a", 2), int)
assert_type(d.replace("a", 1, 2), bool)
assert_type(d.remove("a", 1), bool)
assert_type(d | {"b": 2}, ConcurrentDict[str, int])
assert_type(list(d), list[str])
assert_type(list(d.items()), list[tuple[str, int]])
assert_type(d.keys() & {"a"}, set[str])
assert_type(d.copy(), ConcurrentDict[str, int])
mapping: MutableMapping[str, int] = d


def grow(old: int | MissingType) -> int:
    return 1 if isinstance(old, MissingType) else old + 1


def drop(old: int | MissingType) -> int | MissingType:
    return MISSING


assert_type(d.compute("a", grow), int)
assert_type(d.compute("a", drop), int | MissingType)
with Mutex() as locked:
    assert_type(locked, bool)
assert_type(Mutex().acquire(timeout=1.5), bool)
for lock in (RMutex(), Condition(), Semaphore(2), BoundedSemaphore(value=2)):
    with lock as locked:
        assert_type(locked, bool)
    assert_type(lock.acquire(timeout=1), bool)
rwlock = RWLock()
with rwlock.read() as locked, rwlock.write() as locked:
    assert_type(locked, bool)
assert_type(rwlock.acquire_read(timeout=1), bool)
assert_type(rwlock.acquire_write(False), bool)
assert_type(rwlock.try_upgrade(), bool)
condition = Condition(Mutex())
Condition(RMutex())
Condition(threading.Lock())
Condition(threading.RLock())
assert_type(condition.wait(0.5), bool)
assert_type(condition.wait_for(lambda: [1], timeout=None), list[int])
condition.notify(2)
assert_type(Event().wait(1), bool)
try:
    assert_type(Barrier(1, lambda: 1, timeout=2).wait(), int)
except BrokenBarrierError:
    pass
assert_type(Latch(1).arrive_and_wait(), bool)
assert_type(Once().call(int, "1"), int)
assert_type(Once().call(grow, old=1), int)
assert_type(AtomicInt(1).add(2), int)
assert_type(AtomicInt().compare_exchange(1, 2), bool)
assert_type(get_sources(), list[str])

d["a"] = "b"  # type: ignore[assignment]
d.replace("a", 1)  # type: ignore[call-overload, call-arg]
AtomicInt("1")  # type: ignore[arg-type]
Condition(1)  # type: ignore[arg-type]
Once().call(grow, "1")  # type: ignore[arg-type]
reversed(d)  # type: ignore[arg-type, call-overload]
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-warn-unused-ignores",
         "--cache-dir", str(tmp_path / "cache"), str(script)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    # Each of the last six lines has an error: without the comments there are six.
    script.write_text(script.read_text().replace("# type:", "# no type:"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict",
         "--cache-dir", str(tmp_path / "cache"), str(script)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert "Found 6 errors" in done.stdout, done.stdout
