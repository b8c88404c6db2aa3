"""Extensions that each carry a copy of latchwork share one domain in a process, or are refused.

Each scenario runs in an interpreter of its own, since what a process has imported stays imported.
"""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
UNSHARED = sys.version_info < (3, 12)


def _build(folder: Path) -> None:
    """The way a user does it: setuptools, and all.c among the sources."""
    extensions = {
        "vendored_one": {},
        "vendored_two": {},
        "vendored_other_version": {"LW_ABI_VERSION": "999"},
        "vendored_other_platform": {"LW_PLATFORM_POSIX": "1"},
    }
    script = folder / "build.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from setuptools import Extension, setup

            name, *macros = sys.argv.pop().split(",")
            setup(
                name=name,
                ext_modules=[
                    Extension(
                        name,
                        sources=[{str(ROOT / "tests/vendor/vendored.c")!r},
                                 {str(ROOT / "src/all.c")!r}],
                        include_dirs=[{str(ROOT / "include")!r}],
                        define_macros=[("LW_PYTHON", "1"), ("VENDORED_NAME", name)]
                        + [tuple(macro.split("=")) for macro in macros],
                        extra_compile_args=["-Wall", "-Wextra", "-Werror", "-O1"]
                        + ["-fvisibility=hidden"],
                    )
                ],
            )
            """
        )
    )

    def build(name: str) -> None:
        macros = (f"{key}={value}" for key, value in extensions[name].items())
        command = [sys.executable, script, "-q", "build_ext", "--build-lib", folder]
        done = subprocess.run(
            [*command, "--build-temp", folder / name, ",".join([name, *macros])],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(build, extensions))


@pytest.fixture(scope="session")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vendored")
    _build(folder)
    return folder


def run(extensions: Path, code: str) -> str:
    """Runs code in a fresh interpreter that finds the extensions; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code)],
        cwd=extensions,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_domain(extensions: Path) -> None:
    run(
        extensions,
        """
        import vendored_one as one, vendored_two as two
        assert one.code() != two.code()  # two copies of the code
        assert one.domain() == two.domain() != 0  # one of the state
        assert one.self() == two.self() != 0
        """,
    )


def test_records_do_not_double(extensions: Path) -> None:
    run(
        extensions,
        """
        import threading
        import vendored_one as one, vendored_two as two
        together = threading.Barrier(8)
        found = []
        def use():
            selves = {one.self(), two.self()}
            together.wait()
            found.append(selves)
        for _ in range(3):
            threads = [threading.Thread(target=use) for _ in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        assert all(len(selves) == 1 for selves in found), found
        assert one.records() == two.records() <= 9, one.records()
        """,
    )


def test_waiters_are_seen_by_both(extensions: Path) -> None:
    run(
        extensions,
        """
        import threading, time
        import vendored_one as one, vendored_two as two
        mutex = one.mutex_new()
        one.mutex_lock(mutex)
        got = []
        def lock():
            two.mutex_lock(mutex)  # detaches while it waits, or this would hang with the GIL
            got.append(True)
            two.mutex_unlock(mutex)
        thread = threading.Thread(target=lock)
        thread.start()
        while one.waiters(mutex) == 0:
            time.sleep(0.001)
        assert two.waiters(mutex) == 1 and not got
        one.mutex_unlock(mutex)
        thread.join()
        assert got and one.waiters(mutex) == 0
        one.mutex_free(mutex)
        """,
    )


def test_a_map_passes_from_one_to_the_other(extensions: Path) -> None:
    run(
        extensions,
        """
        import gc, weakref
        import vendored_one as one, vendored_two as two
        class Value:
            def __init__(self, number): self.number = number
        alive = weakref.WeakSet()
        map = one.map_new()
        for i in range(5000):  # through several resizes, by either copy
            value = Value(i)
            alive.add(value)
            (one if i % 2 else two).map_put(map, i, value)
            del value
        assert len(alive) == 5000
        for i in range(5000):
            assert (two if i % 2 else one).map_get(map, i).number == i
        for i in range(4000):
            assert (one if i % 3 else two).map_remove(map, i)
        one.flush()
        gc.collect()
        assert len(alive) == 1000
        two.map_free(map)
        two.flush()
        gc.collect()
        assert len(alive) == 0
        """,
    )


@pytest.mark.parametrize("name", ["vendored_other_version", "vendored_other_platform"])
def test_what_cannot_share_is_refused(extensions: Path, name: str) -> None:
    printed = run(
        extensions,
        f"""
        import vendored_one
        for _ in range(2):
            try:
                import {name}
            except ImportError as error:
                print(error)
            else:
                raise AssertionError("it was not refused")
        import vendored_two
        assert vendored_one.domain() == vendored_two.domain()
        """,
    )
    first, second = printed.splitlines()
    assert first == second
    assert name in first
    # The message names both.
    assert first.count("ABI") == 2
    assert ("ABI 999" in first) == (name == "vendored_other_version")


@pytest.mark.parametrize("name", ["vendored_other_version", "vendored_other_platform"])
def test_the_other_one_came_first(extensions: Path, name: str) -> None:
    printed = run(
        extensions,
        f"""
        import {name}
        mutex = {name}.mutex_new()
        {name}.mutex_lock(mutex)
        try:
            import vendored_one
        except ImportError as error:
            print(error)
        else:
            raise AssertionError("it was not refused")
        {name}.mutex_unlock(mutex)
        {name}.mutex_free(mutex)
        """,
    )
    assert "vendored_one" in printed


@pytest.mark.skipif(UNSHARED, reason="interpreters with a GIL of their own exist from 3.12 on")
def test_in_a_subinterpreter(extensions: Path) -> None:
    run(
        extensions,
        """
        import textwrap
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import vendored_one as one
        here = one.domain(), one.self()
        code = textwrap.dedent(f'''
            import sys
            sys.path.insert(0, "")
            import vendored_one, vendored_two
            assert vendored_one.domain() == vendored_two.domain() == {here[0]}
            assert vendored_one.self() == vendored_two.self() == {here[1]}
            mutex = vendored_two.mutex_new()
            vendored_one.mutex_lock(mutex)
            vendored_two.mutex_unlock(mutex)
            vendored_two.mutex_free(mutex)
            try:
                import vendored_other_version
            except ImportError as error:
                assert "999" in str(error), error
            else:
                raise AssertionError("it was not refused")
        ''')
        for _ in range(2):
            interpreter = interpreters.create()
            failure = interpreters.run_string(interpreter, code)
            assert failure is None, failure
            interpreters.destroy(interpreter)
        import vendored_two as two
        assert two.domain() == here[0]
        assert two.records() <= 3
        """,
    )


@pytest.mark.skipif(UNSHARED, reason="interpreters with a GIL of their own exist from 3.12 on")
def test_a_mutex_between_interpreters(extensions: Path) -> None:
    """The waiter detaches from its own interpreter; the holder is attached to another."""
    run(
        extensions,
        """
        import textwrap, threading, time
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import vendored_one as one
        mutex = one.mutex_new()
        one.mutex_lock(mutex)
        failures = []
        code = textwrap.dedent(f'''
            import sys
            sys.path.insert(0, "")
            import vendored_two
            vendored_two.mutex_lock({mutex})
            vendored_two.mutex_unlock({mutex})
        ''')
        def elsewhere():
            interpreter = interpreters.create()
            failures.append(interpreters.run_string(interpreter, code))
            interpreters.destroy(interpreter)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        while one.waiters(mutex) == 0:
            assert thread.is_alive()
            time.sleep(0.001)
        one.mutex_unlock(mutex)
        thread.join()
        assert failures == [None], failures
        one.mutex_free(mutex)
        """,
    )


def test_the_kind_of_interpreter_is_as_built(extensions: Path) -> None:
    """None of the copies makes a free-threaded interpreter switch its GIL on."""
    printed = run(
        extensions,
        """
        import sys
        import vendored_one, vendored_two
        print(getattr(sys, "_is_gil_enabled", lambda: True)())
        """,
    )
    assert printed.strip() == str(not FREE_THREADED)
