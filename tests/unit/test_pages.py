"""What people read leads somewhere, has a place in the menus, names options that exist, and is run by a test."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from banger.cli.dispatch import _find
from banger.cli.parser import UsageError, load_verb
from banger.client.reference import reference
from banger.errors import CODES, Error
from tests.support.home import REPOSITORY
from tests.support.pages import (
    DOCS,
    NOT_RUN,
    RUN_BY,
    Block,
    anchors,
    blocks,
    command_lines,
    links,
    menus,
    name_of,
    pages,
    prints,
    steps,
)

RUNNER = "tests/e2e/test_pages.py"
# Words of a shell after which the rest of a line is not banger's.
_SHELL = {"|", "||", "&&", ";", "&"}


@pytest.mark.parametrize("page", [*pages(), DOCS / "decisions/index.md"], ids=name_of)
def test_each_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for line, target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists():
            wrong.append(f"{page.name}:{line}: nothing is at {target}")
        elif anchor and place.suffix == ".md" and anchor not in anchors(place):
            wrong.append(f"{page.name}:{line}: {place.name} has no heading {anchor}")
    assert wrong == []


def test_each_page_is_in_one_menu() -> None:
    """`docs/index.md` has the menus: a new page gets one line there."""
    there = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")} - {"index"}
    found = menus()
    assert there - set(found) == set(), "pages in no menu of docs/index.md"
    assert set(found) - there == set(), "menus name pages that do not exist"
    assert len(found) == len(set(found)), "a page is in two menus"


def is_run(page: Path) -> bool:
    return all(block.reason or block.language in ("console", "python") for block in blocks(page))


def test_pages_whose_commands_no_test_runs_are_known() -> None:
    """A new page is written so that `tests/e2e/test_pages.py` runs it: blocks of `console` and `python`."""
    unknown = {
        name_of(page)
        for page in pages()
        if blocks(page) and name_of(page) not in RUN_BY and not is_run(page) and name_of(page) != "AGENTS.md"
    }
    assert unknown == NOT_RUN


def test_tests_that_run_a_page_name_it() -> None:
    for page, test in RUN_BY.items():
        assert page in (REPOSITORY / test).read_text(), f"{test} does not read {page}"
    text = (REPOSITORY / "tests/e2e/test_habits.py").read_text()
    assert "docs/from-docker.md" in text


def commands() -> list[tuple[str, str]]:
    return [
        (f"{name_of(page)}:{block.line}", line)
        for page in pages()
        for block in blocks(page)
        if block.language != "python"
        for line in command_lines(block)
    ]


def words_of(line: str) -> list[str]:
    """The words of banger's part of a line: no comment, no redirection, nothing after a pipe."""
    lexer = shlex.shlex(re.sub(r"\$\([^)]*\)", "word", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[str] = []
    words = iter(lexer)
    for word in words:
        if word in _SHELL:
            break
        if word in ("<", ">", ">>"):
            next(words)
        else:
            found.append(word)
    return found[1:]


@pytest.mark.parametrize(("place", "line"), commands(), ids=lambda value: value.replace(" ", "_")[:60])
def test_each_command_line_is_one_that_banger_understands(place: str, line: str) -> None:
    if re.match(r"banger (events|compose)\b.*  ", line):  # a table, with its explanation after blanks
        line = line.partition("  ")[0]
    words = words_of(line)
    if words[:1] in (["help"], ["--version"], ["-H"]) or re.search(r"\b[A-Z]{2,}\b", line):
        return
    found = _find(words)
    assert found is not None, f"{place}: banger has no {' '.join(words[:2])}"
    noun, name, rest = found
    verb = load_verb(noun, name)
    try:
        verb.parse(verb.parser(f"banger {noun} {name}", "x"), rest)
    except (UsageError, Error) as exc:
        pytest.fail(f"{place}: {line}: {exc}")


def test_there_are_commands() -> None:
    assert len(commands()) > 100


def test_the_page_of_the_sdk_is_current() -> None:
    """`python -m banger.client.reference > docs/sdk.md` makes it so."""
    assert (DOCS / "sdk.md").read_text() == "\n".join(reference())


def test_each_code_has_an_entry_that_says_what_happened_why_and_what_to_do() -> None:
    text = (DOCS / "troubleshooting.md").read_text()
    entries = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE))
    skeletons = "\n".join(
        f"### {code}\n\n**What happened.** … **Why.** … **What to do.** …\n"
        for code in CODES.keys() - entries.keys()
    )
    assert not skeletons, f"docs/troubleshooting.md lacks:\n{skeletons}"
    assert entries.keys() - CODES.keys() == set(), "entries of codes that do not exist"
    for code, entry in entries.items():
        said = " ".join(entry.split())
        assert re.fullmatch(r"\*\*What happened\.\*\* .+ \*\*Why\.\*\* .+ \*\*What to do\.\*\* .+", said), (
            code
        )
        assert "…" not in said, code


@pytest.mark.parametrize(
    ("expected", "said", "fits"),
    [
        ([], [], True),
        ([], ["a"], False),
        (["a"], ["a"], True),
        (["a"], ["a", "b"], False),
        (["..."], [], True),
        (["...", "b"], ["a", "a", "b"], True),
        (["...", "b"], ["a"], False),
        (["6.1...-amd64"], ["6.1.0-40-amd64"], True),
        (["6.1...-amd64"], ["6.1.0-40-arm64"], False),
        (["a.c"], ["abc"], False),
    ],
)
def test_what_a_page_leaves_open_fits(expected: list[str], said: list[str], fits: bool) -> None:
    assert prints(expected, said) is fits


def test_a_command_goes_on_where_the_shell_would_ask_for_more() -> None:
    (one, two) = steps(Block("console", "$ cat <<E\n> in\n> E\nin\n$ true\n", 1))
    assert (one.command, one.printed) == ("cat <<E\nin\nE", ["in"])
    assert (two.command, two.printed) == ("true", [])


def test_blocks_of_a_page_are_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text(
        "# A\n\n    banger ps\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
        "\n<!-- not run: it is late -->\n```sh\nmake\n```\n"
        "\n    not a command\n\n```json\n{}\n```\n"
    )
    assert [(one.language, one.printed, one.reason) for one in blocks(page)] == [
        ("sh", None, ""),
        ("python", "1\n", ""),
        ("sh", None, "it is late"),
    ]


def test_a_heading_has_the_anchor_of_a_forge(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# What `vm run` does\n\n## Limits, and more\n\n## Limits, and more\n\n### too_many\n")
    assert anchors(page) == {"what-vm-run-does", "limits-and-more", "limits-and-more-1", "too_many"}
