"""docs/security.md promises: each promise of its table names a test, and that test exists."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[str]:
    page = (REPOSITORY / "docs/security.md").read_text()
    table = page.partition("## Who is protected from whom")[2].partition("\n## ")[0]
    return [line for line in table.splitlines() if line.startswith("|")][2:]


def test_each_line_names_one_test_that_exists() -> None:
    assert len(rows()) > 20
    for row in rows():
        ((file, name),) = _TEST.findall(row)
        text = (REPOSITORY / file).read_text()
        assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{file} has no {name}"


def test_all_files_that_the_page_names_exist() -> None:
    page = (REPOSITORY / "docs/security.md").read_text()
    for path in re.findall(r"`((?:tests|packaging|native|src)/[\w/.]+)`", page):
        assert (REPOSITORY / path).exists(), path
    for path in re.findall(r"\]\(([\w/.-]+\.md)\)", page):
        assert (REPOSITORY / "docs" / path).exists(), path
