"""Formatting and static checks: clang-format, clang-tidy, ruff. One check a file."""

from __future__ import annotations

import concurrent.futures
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .common import BUILD, ROOT, ToolError, cores
from .layers import Layers, c_files
from .results import Outcome

C_FOLDERS = ("include", "src", "pyext", "tests", "bench", "examples")
WIDTH = 100


def _run(command: Sequence[str | Path]) -> tuple[int, str]:
    answer = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return answer.returncode, answer.stdout


def layers() -> tuple[Outcome, str]:
    report = Layers(ROOT).check()
    outcome = Outcome(passed=report.checked - len(report.problems))
    for problem in report.problems:
        outcome.fail(problem)
    return outcome, "\n".join(report.problems)


def _tracked(file: Path) -> bool:
    return "build" not in file.relative_to(ROOT).parts


def _format_one(file: Path) -> tuple[str, int, str]:
    name = str(file.relative_to(ROOT))
    status, text = _run(["clang-format", "--dry-run", "-Werror", file])
    # clang-format leaves comments as they are, so their width is looked at here.
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if len(line) > WIDTH:
            status = 1
            text += f"{name}:{number}: {len(line)} columns, more than {WIDTH}\n"
    return name, status, text


def clang_format() -> tuple[Outcome, str]:
    outcome = Outcome()
    output = ""
    files = filter(_tracked, c_files(ROOT, C_FOLDERS))
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        for name, status, text in pool.map(_format_one, files):
            complaint = text.splitlines()[0] if text else "badly formatted"
            outcome.check(status == 0, f"{name}: {complaint}")
            output += text
    return outcome, output


def _commands(folder: Path) -> dict[Path, dict[str, str]]:
    """How a build compiles each source: the entries of its compilation database."""
    try:
        database = json.loads((folder / "compile_commands.json").read_text())
    except (OSError, ValueError) as error:
        raise ToolError(f"no list of compile commands in {folder}: {error}") from None
    return {Path(entry["file"]): entry for entry in database}


def _tidy_one(job: tuple[Path, Path]) -> tuple[Path, int, str]:
    file, folder = job
    command = ["clang-tidy", "--quiet", "--warnings-as-errors=*", "-p", folder, file]
    status, text = _run([*command, "--extra-arg=-Wno-unknown-warning-option"])
    return file, status, re.sub(r"\d+ warnings? .*generated.*\n", "", text)


def clang_tidy(core: Path, extension: Path) -> tuple[Outcome, str]:
    """The sources of the library as one build compiles them, the binding's as another does."""
    outcome = Outcome()
    in_core, in_extension = _commands(core), _commands(extension)
    # All of all.c is in the other files.
    whole = ROOT / "src" / "all.c"
    jobs = [(file, core) for file in in_core if file.is_relative_to(ROOT / "src") and file != whole]
    jobs += [(file, extension) for file in in_extension if file.is_relative_to(ROOT / "pyext")]
    # The Python layer is compiled as a part of all.c alone, and here by itself.
    entries = []
    for file in sorted((ROOT / "src" / "python").glob("*.c")):
        entry = json.dumps(in_extension[whole]).replace(str(whole), str(file))
        entries.append(json.loads(entry))
        jobs.append((file, BUILD / "tidy"))
    (BUILD / "tidy").mkdir(exist_ok=True)
    (BUILD / "tidy" / "compile_commands.json").write_text(json.dumps(entries))
    output = ""
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        for file, status, text in pool.map(_tidy_one, sorted(set(jobs))):
            errors = [line for line in text.splitlines() if ": error:" in line]
            what = errors[0] if errors else "clang-tidy failed"
            outcome.check(status == 0, f"{file.relative_to(ROOT)}: {what}")
            output += text
    return outcome, output


def ruff(program: Path) -> tuple[Outcome, str]:
    _, files = _run([program, "check", "--show-files"])
    listed = [line for line in files.splitlines() if line.strip()]
    outcome = Outcome()
    output = ""
    bad: set[str] = set()
    status, text = _run([program, "check", "--output-format", "concise"])
    if status:
        output += text
        bad |= {line.split(":")[0] for line in text.splitlines() if ":" in line}
    format_status, text = _run([program, "format", "--check"])
    if format_status:
        output += text
        bad |= {line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("Would")}
    for file in listed:
        name = str(Path(file).relative_to(ROOT))
        outcome.check(name not in bad and file not in bad, f"{name}: ruff")
    if (status or format_status) and not outcome.failed:
        outcome.fail("ruff failed")
    return outcome, output
