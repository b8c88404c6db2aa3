"""What the documents say is so: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snippets import ROOT, Runner, blocks

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL_PAGES = [*PAGES, *sorted((ROOT / "examples").rglob("*.md"))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.what for block in blocks(page))], ids=name
)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    runner = Runner(tmp_path, folder)
    for block in blocks(page):
        if block.what is not None:
            runner.do(block)
    assert runner.ran > 0


def test_every_block_of_the_readme_is_tested() -> None:
    assert [str(block) for block in blocks(README) if block.what is None] == []
    assert {block.language for block in blocks(README)} >= {"c", "python", "sh"}


def test_the_readme_shows_the_counter_example() -> None:
    shown = {block.what: block.text for block in blocks(README)}
    for file in ("counter.c", "setup.py"):
        assert shown[f"file {file}"] == (ROOT / "examples/counter" / file).read_text()


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if link and not (page.parent / link).exists()] == []
