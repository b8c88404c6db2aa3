"""The table of steps: what `make test` and `make verify` are made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cpython_build, cross, lint, setup
from .common import BUILD, ROOT, ToolError, cores, reason, run_logged
from .interpreters import Interpreter
from .results import Outcome, read_junit

# Labels of CTest.
UNIT_LABELS = ("unit", "headers")
STRESS_LABELS = ("stress", "linearizability")
FUZZ_LABEL = "fuzz"

# Many tests wait most of their time: more run at once than there are cores.
TESTS_AT_ONCE = 3 * cores()

# gcc 12's AddressSanitizer does not hold its allocator's locks over a fork, so that now and then a
# child of a process whose other threads allocate waits for one of them for ever. These tests run
# in all other builds.
NOT_UNDER_ASAN = "fork_while_"

# ThreadSanitizer wraps dlopen in a lock of its own, which it does not hold over a fork either; a
# thread that makes the domain is in there.
FORK_NOT_UNDER_TSAN = "fork_while_another_thread_makes_the_domain"

# Starts other programs, and is about files and builds.
NOT_UNDER_TSAN = ("tests/python/test_package.py",)

# These take as long under ThreadSanitizer as all others together.
SLOW_UNDER_TSAN = ("tests/python/test_lifecycle.py", "tests/python/test_views.py")

# Folders of pytest, and whether they run on every interpreter or on one of each kind.
PYTEST_FOLDERS = {
    "tests/python": True,
    "tests/demo": False,
    "tests/vendor": False,
    "tests/examples": False,
    "tests/docs": False,
}


class Context:
    """What a step may use: its log, its time, and the interpreters of this machine."""

    def __init__(self, name: str, limit_s: float, interpreters: list[Interpreter]) -> None:
        self.name = name
        self.interpreters = interpreters
        self.log = BUILD / "logs" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        self.deadline = time.monotonic() + limit_s

    def report_file(self, part: str = "") -> Path:
        file = BUILD / "results" / f"{self.name}{part}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        return file

    def run(
        self,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> int:
        environment = dict(os.environ)
        for variable in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS"):
            environment.pop(variable, None)
        environment.update(env or {})
        left = max(self.deadline - time.monotonic(), 1.0)
        try:
            status = run_logged(command, self.log, cwd=cwd, env=environment, limit_s=left)
        except FileNotFoundError as error:
            raise ToolError(f"{error.filename} is not there; has `make setup` run?") from None
        if status is None:
            raise ToolError(f"ran past its time limit in: {' '.join(map(str, command))[:120]}")
        return status

    def run_for_report(
        self, command: Sequence[str | Path], report: Path, env: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run something that writes a JUnit file; its exit status has to agree with the file."""
        status = self.run(command, env)
        outcome = read_junit(report)
        if status != 0 and not outcome.failed:
            outcome.fail(f"exit status {status}: {reason(self.log)}")
        return outcome


def _build(context: Context, preset: str, targets: Sequence[str]) -> None:
    chosen = ["--target", *targets] if targets else []
    for command in (
        ["cmake", "--preset", preset],
        ["cmake", "--build", "--preset", preset, "--parallel", str(cores()), *chosen],
    ):
        if context.run(command) != 0:
            raise ToolError(f"{' '.join(command[:3])}: {reason(context.log)}")


def _labels(preset: str) -> Counter[str]:
    """How many tests a preset has under each label; "" for tests that have none we know."""
    answer = subprocess.run(
        ["ctest", "--preset", preset, "--show-only=json-v1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # CTest may say a line or two before the document.
    text = answer.stdout[answer.stdout.find("{") :]
    counts: Counter[str] = Counter()
    for test in json.loads(text)["tests"] if text else []:
        labels: list[str] = []
        for entry in test.get("properties", []):
            if entry["name"] == "LABELS":
                labels = entry["value"]
        known = [label for label in labels if label in (*UNIT_LABELS, *STRESS_LABELS, FUZZ_LABEL)]
        counts[known[0] if known else ""] += 1
    return counts


def c_tests(
    preset: str,
    labels: Sequence[str],
    env: Mapping[str, str] | None = None,
    exclude: str | None = None,
    whole: bool = True,
) -> Callable[[Context], Outcome]:
    """Build a preset, or of it the tests' programs alone if it is not to be `whole`, and run its
    tests that have one of the labels; each has to have some."""

    def step(context: Context) -> Outcome:
        _build(context, preset, [] if whole else [f"{label}_programs" for label in labels])
        counts = _labels(preset)
        outcome = Outcome()
        if counts[""]:
            outcome.fail(f"{counts['']} tests have none of the labels that the steps run")
        for label in labels:
            if not counts[label]:
                outcome.fail(f"no test has the label {label}")
        report = context.report_file()
        chosen = f"^({'|'.join(labels)})$"
        command = ["ctest", "--preset", preset, "-L", chosen, "-j", str(TESTS_AT_ONCE)]
        if exclude:
            command += ["-E", exclude]
        outcome.add(context.run_for_report([*command, "--output-junit", report], report, env))
        outcome.note = ", ".join(f"{label} {counts[label]}" for label in labels)
        if exclude:
            outcome.note += f"; without *{exclude}*"
        return outcome

    return step


def lint_step(work: Callable[[], tuple[Outcome, str]]) -> Callable[[Context], Outcome]:
    def step(context: Context) -> Outcome:
        outcome, output = work()
        context.log.write_text(output)
        return outcome

    return step


def clang_tidy(wheel: Path) -> Callable[[Context], Outcome]:
    def step(context: Context) -> Outcome:
        if context.run(["cmake", "--preset", "dev"]) != 0:
            raise ToolError(f"cmake --preset dev: {reason(context.log)}")
        return lint_step(lambda: lint.clang_tidy(BUILD / "dev", wheel))(context)

    return step


def _pytest(
    context: Context,
    python: Path,
    what: Sequence[str],
    env: Mapping[str, str],
    prefix: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Outcome:
    for name in what:
        if not (ROOT / name).exists():
            raise ToolError(f"{name} does not exist")
    report = context.report_file()
    command = [*prefix, python, "-X", "faulthandler", "-m", "pytest", *what, "-q"]
    # Each interpreter has a cache folder of its own, or two runs would share one.
    cache = ["-o", f"cache_dir={BUILD / 'pytest' / context.name}", f"--junitxml={report}"]
    return context.run_for_report([*command, *cache, *options], report, env)


def python_tests(
    one: Interpreter, folder: str, options: Sequence[str] = ()
) -> Callable[[Context], Outcome]:
    def step(context: Context) -> Outcome:
        environment = setup.environment_of(one)
        outcome = _pytest(context, environment.python, [folder], {}, options=options)
        outcome.note = one.name
        return outcome

    return step


def tsan_python_tests(one: Interpreter, slow: bool) -> Callable[[Context], Outcome]:
    """The binding's tests under a ThreadSanitizer interpreter; any report fails the run."""

    def step(context: Context) -> Outcome:
        environment = setup.environment_of(one)
        # CPython's and ours in one file; each has its reason in the file it comes from.
        suppressions = BUILD / "results" / f"{context.name}-suppressions.txt"
        suppressions.parent.mkdir(parents=True, exist_ok=True)
        own = ROOT / "tools" / "tsan-suppressions.txt"
        suppressions.write_text(cpython_build.suppressions().read_text() + own.read_text())
        reports = BUILD / "results" / f"{context.name}-report"
        for old in reports.parent.glob(f"{reports.name}.*"):
            old.unlink()
        options = f"suppressions={suppressions}:log_path={reports}:history_size=4:exitcode=66"
        files = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("tests/python/test_*.py"))
        outcome = _pytest(
            context,
            environment.python,
            [
                file
                for file in files
                if file not in NOT_UNDER_TSAN and (file in SLOW_UNDER_TSAN) == slow
            ],
            {"TSAN_OPTIONS": options},
            cpython_build.fixed_addresses(),
        )
        left_out = ", ".join(Path(file).name for file in NOT_UNDER_TSAN)
        outcome.note = f"{one.name}; without {left_out}"
        for file in sorted(reports.parent.glob(f"{reports.name}.*")):
            for line in file.read_text(errors="replace").splitlines():
                if line.startswith("SUMMARY: "):
                    outcome.fail(line)
        return outcome

    return step


def pip_alone(one: Interpreter) -> Callable[[Context], Outcome]:
    """What a user does: an empty environment, `pip install .`, import; no help of ours."""

    def step(context: Context) -> Outcome:
        folder = BUILD / "pip-alone" / one.tag
        shutil.rmtree(folder, ignore_errors=True)
        python = folder / "venv" / "bin" / "python"
        copy = folder / "source"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        use = (
            "import latchwork, os, sys; d = latchwork.ConcurrentDict(a=1); d['b'] = 2; "
            "assert dict(d) == {'a': 1, 'b': 2}; assert os.path.isdir(latchwork.get_include()); "
            "assert all(map(os.path.isfile, latchwork.get_sources())); "
            "assert 'source' not in latchwork.__file__"
        )
        outcome = Outcome(note=one.name)
        for what, command in (
            ("create an environment", [one.path, "-m", "venv", folder / "venv"]),
            ("pip install .", [python, "-m", "pip", "install", "--no-cache-dir", copy]),
            ("import and use", [python, "-c", use]),
        ):
            status = context.run(command, cwd=folder)
            outcome.check(status == 0, f"{what}: {reason(context.log)}")
            if status != 0:
                break
        return outcome

    return step


def own_runner(program: str, *options: str) -> Callable[[Context], Outcome]:
    """A runner of this project that writes a JUnit file."""

    def step(context: Context) -> Outcome:
        if not (ROOT / program).is_file():
            raise ToolError(f"{program} does not exist")
        report = context.report_file()
        return context.run_for_report(
            [setup.TOOLS_PYTHON, ROOT / program, *options, "--junit", report], report
        )

    return step


def bench_runs(context: Context) -> Outcome:
    """The benchmarks build, all of them, and one area runs. Its figures are not judged here."""
    summary = BUILD / "bench" / "checked.json"  # summary.json is of `make bench`
    summary.unlink(missing_ok=True)
    command = [setup.TOOLS_PYTHON, ROOT / "bench" / "run.py", "--quick", "--area", "thread"]
    command += ["--summary", summary]
    if context.run(command) != 0:
        raise ToolError(f"bench/run.py: {reason(context.log)}")
    outcome = Outcome()
    for row in json.loads(summary.read_text()):
        name = f"{row['area']}: {row['row']}, {row['peer']}"
        outcome.check(row["ours_ns"] > 0 and row["peer_ns"] > 0, name)
    return outcome


def tool_tests(context: Context) -> Outcome:
    return _pytest(context, setup.TOOLS_PYTHON, ["tools/tests"], {})


@dataclass
class Step:
    name: str
    limit_s: float
    work: Callable[[Context], Outcome]
    interpreter: Interpreter | None = None
    # Runs beside its neighbours in the table that do so too: a step that leaves cores idle, or
    # loses nothing but overlap of its threads when it has to share them.
    beside: bool = False


def lint_steps(found: list[Interpreter]) -> list[Step]:
    ruff = setup.TOOLS_PYTHON.parent / "ruff"
    wheel = setup.wheel_folder(setup.demo_pair(found)[-1].tag)
    return [
        Step("layers", 30, lint_step(lint.layers)),
        Step("ruff", 60, lint_step(lambda: lint.ruff(ruff))),
        Step("clang-format", 60, lint_step(lint.clang_format)),
        Step("clang-tidy", 480, clang_tidy(wheel)),
    ]


def test_steps(found: list[Interpreter]) -> list[Step]:
    chosen = [one for one in found if one.chosen]
    pair = setup.demo_pair(found)
    every = (*UNIT_LABELS, *STRESS_LABELS)
    return [
        *lint_steps(found)[:3],
        Step("tools", 120, tool_tests),
        Step("c-gcc", 480, c_tests("dev", UNIT_LABELS)),
        Step("c-clang", 400, c_tests("clang", every, {"LW_SECONDS": "0.2"})),
        Step(
            "c-asan",
            600,
            c_tests("asan", ("unit", "stress"), {"LW_SECONDS": "0.2"}, NOT_UNDER_ASAN),
        ),
        *[Step(f"pip-alone-{one.tag}", 240, pip_alone(one), one, True) for one in pair[-1:]],
        *[
            Step(f"{Path(folder).name}-{one.tag}", 450, python_tests(one, folder), one, beside=True)
            for folder, on_all in PYTEST_FOLDERS.items()
            for one in (chosen if on_all else pair)
        ],
    ]


def verify_steps(found: list[Interpreter]) -> list[Step]:
    tsan = [one for one in found if one.tsan]
    if not tsan:
        raise ToolError("no ThreadSanitizer CPython (tools/interpreters --ensure --tsan makes one)")
    return [
        *lint_steps(found)[3:],
        Step("models", 1500, own_runner("tests/model/run.py")),
        Step("plants", 1200, own_runner("tests/plants/run.py")),
        Step("c-tsan", 600, c_tests("tsan", ("unit", "stress"), exclude=FORK_NOT_UNDER_TSAN)),
        Step("bench", 300, bench_runs),
        *[
            Step(f"python-{one.tag}{suffix}", 1200, tsan_python_tests(one, slow), one, True)
            for one in tsan[-1:]
            for suffix, slow in (("", False), ("-slow", True))
        ],
        Step("c-noise", 600, c_tests("noise", STRESS_LABELS, whole=False), beside=True),
        Step("fuzz", 420, c_tests("clang", (FUZZ_LABEL,), {"LW_FUZZ_SECONDS": "60"}), beside=True),
        # Its unit tests are a variant of those of c-gcc.
        Step("c-posix", 420, c_tests("posix", ("stress",), whole=False), beside=True),
        Step("c-release", 600, c_tests("release", ("unit", *STRESS_LABELS)), beside=True),
    ]


def cross_tests(target: cross.Target, preset: str) -> Callable[[Context], Outcome]:
    """The unit tests on another system, as far as it is to be had here."""

    def step(context: Context) -> Outcome:
        why = cross.unavailable().get(target.name)
        if why is not None:
            return Outcome(not_run=why)
        with cross.session(target) as env:
            return c_tests(preset, ("unit",), env)(context)

    return step


def cross_steps(_found: list[Interpreter]) -> list[Step]:
    return [
        Step(preset, 900, cross_tests(target, preset))
        for target in cross.TARGETS
        for preset in target.presets
    ]


def soak_steps(found: list[Interpreter], seed: int, number: int) -> list[Step]:
    """One round: each stress test for longer than `make test` has time for, with one seed. The
    first two have what no seed changes as well: by all models the orders that may be weaker; then
    the models with more threads, more switches and more executions, for hours."""
    env = {"LW_SEED": str(seed), "LW_SECONDS": "20"}
    chosen = [one for one in found if one.chosen]
    depth = {1: "--redundant", 2: "--soak"}.get(number)
    return [
        *(
            [Step("soak-models", 24 * 3600, own_runner("tests/model/run.py", depth))]
            if depth
            else []
        ),
        *[
            Step(f"soak-{preset}", 3600, c_tests(preset, STRESS_LABELS, env, whole=False))
            for preset in ("release", "noise", "posix", "tsan")
        ],
        *[
            Step(
                f"soak-python-{one.tag}",
                3600,
                python_tests(one, "tests/python", [f"--hypothesis-seed={seed}"]),
                one,
            )
            for one in chosen
        ],
    ]
