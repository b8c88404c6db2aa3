# SPDX-License-Identifier: BSD-2-Clause
"""Critical sections on objects and on mutexes, in an extension that carries the library along."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from concurrency import FREE_THREADED, Faster, run_threads, scaled

SETUP = """
import latchwork
from setuptools import Extension, setup

setup(
    name="sections",
    ext_modules=[
        Extension(
            "sections",
            ["sections.c", *latchwork.get_sources()],
            define_macros=[("LW_PYTHON", "1")],
            include_dirs=[latchwork.get_include()],
            extra_compile_args=["-O1", "-Wall", "-Werror"],  # soon done
        )
    ],
)
"""


@pytest.fixture(scope="session")
def sections(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("sections")
    source = Path(__file__).with_name("sections.c")
    (folder / "sections.c").write_text(source.read_text())
    (folder / "setup.py").write_text(SETUP)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("sections.*.so")
    spec = importlib.util.spec_from_file_location("sections", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_object(sections: ModuleType) -> None:
    cell, turns = sections.Cell(), scaled(2_000)
    with Faster():
        run_threads(lambda: sections.count(cell, turns), count=3)
    assert sections.values(cell) == (3 * turns, 0)


def test_mutexes(sections: ModuleType) -> None:
    a, b, turns = sections.Cell(), sections.Cell(), scaled(10_000)
    with Faster():
        run_threads(
            lambda: sections.count_by_mutex(a, b, turns),
            lambda: sections.count_by_mutex(b, a, turns),
        )
    assert sections.values(a) == sections.values(b) == (3 * turns, 0)


@pytest.mark.parametrize("argument", [True, False, None, 1])
def test_left_before_it_began(sections: ModuleType, argument: object) -> None:
    for _ in range(3):
        assert sections.left_early(argument) is argument


def test_two_objects_in_either_order(sections: ModuleType) -> None:
    a, b, turns = sections.Cell(), sections.Cell(), scaled(30_000)
    with Faster():
        run_threads(
            lambda: sections.transfer(a, b, turns),
            lambda: sections.transfer(b, a, 2 * turns),
            lambda: sections.transfer(a, a, turns),
        )
    assert sections.values(a) == (turns, 0)
    assert sections.values(b) == (-turns, 0)


def test_many_objects_in_any_order(sections: ModuleType) -> None:
    cells, turns = [sections.Cell() for _ in range(5)], scaled(20_000)
    a, b, c, d, e = cells
    with Faster():
        run_threads(
            lambda: sections.rotate((a, b, c, d, e), c, turns),
            lambda: sections.rotate((e, c, a), d, turns),
            lambda: sections.rotate((d, d, b, d), a, turns),
            lambda: sections.rotate((), e, 10),
            lambda: sections.transfer(e, a, turns),
            lambda: sections.transfer(a, e, turns),
        )
    assert [sections.values(cell) for cell in cells] == [(0, 0)] * 5


def test_sections_of_both_kinds_inside_of_each_other(sections: ModuleType) -> None:
    a, b, c, turns = sections.Cell(), sections.Cell(), sections.Cell(), scaled(20_000)
    with Faster():
        run_threads(
            lambda: sections.nest(a, b, turns),
            lambda: sections.nest(b, c, turns),
            lambda: sections.nest(c, a, turns),
            lambda: sections.nest(b, a, turns),
        )
    counts = [sections.values(cell) for cell in (a, b, c)]
    assert counts == [(3 * turns, 3 * turns), (3 * turns, 3 * turns), (2 * turns, 2 * turns)]


@pytest.mark.skipif(not FREE_THREADED, reason="with the GIL sections on objects are nothing")
@pytest.mark.parametrize("same", [False, True])
def test_who_wants_a_section_gets_it_in_turn(sections: ModuleType, same: bool) -> None:
    a, b, number = sections.Cell(), sections.Cell(), 1 + same
    inner = a if same else b
    fine, _ = run_threads(
        lambda: sections.stand(a, inner, number), lambda: sections.come(a, inner, number)
    )
    assert fine is True
    assert sections.values(inner) == (1, 0)


@pytest.mark.parametrize("two", [False, True])
def test_the_same_objects_inside_of_each_other_let_nobody_in(
    sections: ModuleType, two: bool
) -> None:
    a, b, turns = sections.Cell(), sections.Cell(), scaled(20_000)
    other = b if two else a
    let_in: list[int] = []
    with Faster():
        run_threads(
            lambda: let_in.append(sections.again(a, other, turns)),
            lambda: let_in.append(sections.again(other, a, turns)),
            lambda: sections.count(a, 2 * turns),
        )
    assert let_in == [0, 0]
    assert sections.values(a)[0] == 2 * turns
    assert sections.values(a)[1] + (sections.values(b)[1] if two else 0) == 4 * turns
