"""The runner counts honestly: no check is a failure, a hang is ended, a lost report is seen."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lwtools import common, results, runner, setup, steps
from lwtools.common import ToolError
from lwtools.results import Outcome, read_junit

JUNIT = """\
<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_one"/>
<testcase classname="c" name="c" status="run"/>
<testcase classname="d" name="d" status="fail"><failure message="boom
more"/></testcase>
<testcase classname="e" name="e" status="notrun"/>
<testcase classname="tests.test_a" name="test_two"><error message="at set-up"/></testcase>
<testcase classname="tests.test_a" name="test_three"><skipped message="needs x"/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture(autouse=True)
def own_build_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for module in (runner, steps, setup, common):
        monkeypatch.setattr(module, "BUILD", tmp_path)
    return tmp_path


def test_junit(tmp_path: Path) -> None:
    file = tmp_path / "x.xml"
    file.write_text(JUNIT)
    outcome = read_junit(file)
    assert (outcome.passed, outcome.failed) == (2, 3)
    assert outcome.failures == ["d: boom more", "e: notrun", "tests.test_a.test_two: at set-up"]
    assert outcome.skips == {"needs x": 1}


@pytest.mark.parametrize("text", [None, "", "<testsuites><testcase"])
def test_a_report_that_is_missing_or_cut_off_is_a_failure(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "x.xml"
    if text is not None:
        file.write_text(text)
    assert read_junit(file).failed == 1


def test_a_case_that_says_why_it_cannot_run_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.xml"
    case = '<testcase name="unit.{0}" classname="unit.{0}" status="notrun">{1}</testcase>'
    own = '<skipped message="SKIP_RETURN_CODE=77"/><system-out>x\nSKIPPED: no fork\n</system-out>'
    absent = '<skipped message="Unable to find executable: x"/>'
    file.write_text(f"<a>{case.format('one', own)}{case.format('two', absent)}</a>")
    outcome = read_junit(file)
    assert (outcome.passed, outcome.failed) == (0, 1)
    assert outcome.left_out == {"no fork": ["unit.one"]}
    assert outcome.skips == {"no fork": 1}
    assert outcome.failures == ["unit.two: notrun"]


def finish(work: object, limit_s: float = 60) -> runner.Finished:
    return runner.run_step(steps.Step("x", limit_s, work), [])  # type: ignore[arg-type]


def test_a_step_that_checks_nothing_fails() -> None:
    assert finish(lambda context: Outcome()).outcome.failures == ["ran no check"]


def test_a_step_that_cannot_run_here_says_so_and_is_no_failure() -> None:
    outcome = finish(lambda context: Outcome(not_run="no compiler")).outcome
    assert (outcome.passed, outcome.failed, outcome.not_run) == (0, 0, "no compiler")


def test_a_step_that_raises_fails_in_one_line() -> None:
    def work(context: steps.Context) -> Outcome:
        raise ToolError("tests/x does not exist")

    assert finish(work).outcome.failures == ["tests/x does not exist"]


def test_an_exit_status_that_the_report_does_not_explain_fails(tmp_path: Path) -> None:
    def work(context: steps.Context) -> Outcome:
        report = context.report_file()
        code = (
            "import sys; open(sys.argv[1], 'w').write('<a><testcase name=\"t\"/></a>'); sys.exit(3)"
        )
        return context.run_for_report([sys.executable, "-c", code, report], report)

    outcome = finish(work).outcome
    assert outcome.passed == 1
    assert outcome.failures[0].startswith("exit status 3")


def test_a_hang_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def work(context: steps.Context) -> Outcome:
        # The child outlives a signal to its parent alone.
        context.run(["sh", "-c", f"sleep 300 & echo $! > {note}; wait"])
        return Outcome(passed=1)

    start = time.monotonic()
    outcome = finish(work, limit_s=1).outcome
    assert outcome.failures[0].startswith("ran past its time limit")
    assert time.monotonic() - start < 30
    state = Path(f"/proc/{int(note.read_text())}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while state.read_text().split()[2] != "Z":  # a killed process dies when it next runs
            assert time.monotonic() - start < 30
            time.sleep(0.01)


def leave_result(group: str, passed: int, *failures: str) -> None:
    file = runner.result_file(group)
    file.parent.mkdir(parents=True, exist_ok=True)
    steps = [{"name": "x", "failures": failures}]
    file.write_text(json.dumps({"passed": passed, "failed": len(failures), "steps": steps}))


def test_the_sum_counts_a_group_without_result_as_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    leave_result("test", 7)
    assert runner.sum_groups(["test", "verify"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "7 passed, 1 failed"


def test_the_sum_passes_when_all_did(capsys: pytest.CaptureFixture[str]) -> None:
    leave_result("test", 7)
    leave_result("verify", 5)
    assert runner.sum_groups(["test", "verify"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "12 passed, 0 failed"


def test_the_sum_names_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    leave_result("test", 7, *(f"test_{number}: boom" for number in range(25)))
    assert runner.sum_groups(["test"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAILED in x: test_0: boom" in lines
    assert lines[-2:] == ["FAILED in x: and 5 more", "7 passed, 25 failed"]


def test_a_kind_that_is_not_there_is_named() -> None:
    assert runner.missing_kinds([]) == ["GIL", "free-threaded"]


def test_the_hash_of_inputs_follows_contents_and_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    (tmp_path / "src").mkdir()
    file = tmp_path / "src" / "a.c"
    file.write_text("int x;")
    before = setup.digest(["src"], "word")
    os.utime(file, (1, 1))
    assert setup.digest(["src"], "word") == before
    assert setup.digest(["src"], "other") != before
    file.write_text("int y;")
    changed = setup.digest(["src"], "word")
    assert changed != before
    file.rename(tmp_path / "src" / "b.c")
    assert setup.digest(["src"], "word") not in (before, changed)


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    tools = Path(common.__file__).resolve().parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(tools)!r})\n"
        "from pathlib import Path\n"
        "from lwtools.common import file_lock\n"
        "with file_lock(Path(sys.argv[1]), 'waiting'): print('inside', flush=True)\n"
    )
    with common.file_lock(lock, "waiting"):
        other = subprocess.Popen(
            [sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
    assert other.stdout.readline() == "inside\n"
    assert other.wait() == 0


def test_the_telling_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "$ cc -Werror x.c\ncollecting\n  error: subprocess-exited-with-error\n"
        "x.c:3:1: error: no such thing\nlast line\n"
    )
    assert common.reason(log) == "x.c:3:1: error: no such thing"
    log.write_text("one\ntwo\n")
    assert common.reason(log) == "two"
    assert results.Outcome().failed == 0


def test_every_folder_of_tests_has_a_step() -> None:
    folders = {file.parent for file in (common.ROOT / "tests").rglob("test_*.py")}
    assert {str(path.relative_to(common.ROOT)) for path in folders} == set(steps.PYTEST_FOLDERS)
