"""The pages that people read: where they are, their blocks of commands, what the blocks print, and where links lead.

A block of `console` has lines that begin with `$ `, each a command; lines that begin with `> ` continue it, and what
follows is its output. A line `...` in an expected output stands for any lines, and `...` within a line for any
characters. A block of `python` is a program; a block of `text` right after it is what it prints. A comment
`<!-- not run: REASON -->` before a block says why no test runs it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.home import REPOSITORY

DOCS = REPOSITORY / "docs"
# What is run by a test of its own: the page, and the test that reads it.
RUN_BY = {
    "docs/python.md": "tests/e2e/test_python.py",
    "docs/ssh.md": "tests/e2e/test_ssh.py",
    "docs/compose.md": "tests/e2e/test_pages_in_parts.py",
    "docs/events.md": "tests/e2e/test_pages_in_parts.py",
    "docs/files.md": "tests/e2e/test_pages_in_parts.py",
    "docs/limits.md": "tests/e2e/test_pages_in_parts.py",
    "docs/network.md": "tests/e2e/test_pages_in_parts.py",
    "docs/secrets.md": "tests/e2e/test_secrets.py",
    "docs/snapshots.md": "tests/e2e/test_pages_in_parts.py",
    "docs/web.md": "tests/e2e/test_pages_in_parts.py",
}
# Pages whose commands no test runs, from before there was a rule. Nothing is added here: a new page is written so that
# tests/e2e/test_pages.py runs it, or says before a block why not.
NOT_RUN = {
    "README.md",
    "docs/build.md",
    "docs/doctor.md",
    "docs/golden-image.md",
    "docs/image-catalog.md",
    "docs/install.md",
    "docs/kernel-catalog.md",
    "docs/oci-import.md",
    "docs/snapshot-format.md",
    "docs/vmm.md",
    "docs/volumes.md",
}
_LANGUAGES = ("console", "python", "sh", "bash")
_REASON = re.compile(r"<!-- not run: (.+) -->")
_COMMAND = re.compile(
    r"\s*(?:\$ )?(?:banger|make|apt-get|ssh|scp|rsync|git|minisign|tar|docker|systemd-run) "
)
_READER = MarkdownIt("commonmark").enable("table")


@dataclass
class Block:
    """A block of commands. `line` is where it begins, `printed` what a test expects of a block of Python, `reason` why
    no test runs it."""

    language: str
    text: str
    line: int
    printed: str | None = None
    reason: str = ""


@dataclass
class Step:
    """A command of a block of `console`, and the lines that it should print."""

    command: str
    printed: list[str] = field(default_factory=list)


def pages() -> list[Path]:
    """What users and developers read, without decisions, which are of their day, and without what is generated."""
    found = [*REPOSITORY.glob("*.md"), *DOCS.glob("*.md"), *(DOCS / "howto").glob("*.md")]
    return sorted(page for page in found if page.name not in ("cli.md", "sdk.md"))


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def blocks(page: Path) -> list[Block]:
    """The blocks of commands, in their order; also indented ones, as `sh`."""
    found: list[Block] = []
    reason, last = "", None
    for token in _READER.parse(page.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block" and (match := _REASON.search(token.content)):
            reason = match[1]
        elif token.type == "fence" and token.info == "text" and last is not None:
            last.printed = token.content
            last = None
        elif token.type == "fence" and token.info in _LANGUAGES:
            found.append(Block(token.info, token.content, line, reason=reason))
            reason, last = "", found[-1] if token.info == "python" else None
        elif token.type == "code_block" and _COMMAND.match(token.content):
            found.append(Block("sh", token.content, line, reason=reason))
            reason, last = "", None
        elif token.type in ("paragraph_open", "heading_open"):
            last = None
    return found


def steps(block: Block) -> list[Step]:
    """The commands of a block of `console`. Raises AssertionError for output before the first."""
    found: list[Step] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:]))
        elif line.startswith("> ") and found and not found[-1].printed:
            found[-1].command += "\n" + line[2:]
        else:
            assert found, f"output before a command: {line}"
            found[-1].printed.append(line)
    return found


def prints(expected: list[str], said: list[str]) -> bool:
    """Whether the lines are what a page says, with `...` for what it leaves open."""
    if not expected:
        return not said
    if expected[0].strip() == "...":
        return any(prints(expected[1:], said[n:]) for n in range(len(said) + 1))
    pattern = ".*".join(re.escape(part) for part in expected[0].split("..."))
    return bool(said and re.fullmatch(pattern, said[0])) and prints(expected[1:], said[1:])


def command_lines(block: Block) -> Iterator[str]:
    """Each line of a block that runs banger, joined where a backslash continues it."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    for line in text.splitlines():
        bare = line.strip().removeprefix("$ ")
        if bare.startswith("banger "):
            yield bare


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Line and target of each link and picture."""
    for token in _READER.parse(page.read_text(encoding="utf-8")):
        for inner in token.children or ():
            target = inner.attrGet("href") if inner.type == "link_open" else inner.attrGet("src")
            if target:
                yield (token.map[0] + 1 if token.map else 0), str(target)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as a forge and MyST make them."""
    tokens = _READER.parse(page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for opened, inline in pairwise(tokens):
        if opened.type == "heading_open":
            slug = base = _slug(inline)
            number = 0
            while slug in found:
                number += 1
                slug = f"{base}-{number}"
            found.add(slug)
    return found


def _slug(heading: Token) -> str:
    text = "".join(inner.content for inner in heading.children or () if inner.type in ("text", "code_inline"))
    kept = "".join(c for c in text.lower() if c in " -_" or unicodedata.category(c)[0] in "LNM")
    return kept.strip().replace(" ", "-")


def menus() -> list[str]:
    """The pages in the menus of docs/index.md, and of the list of decisions, as paths below docs without `.md`."""
    found: list[str] = []
    for index in (DOCS / "index.md", DOCS / "decisions/index.md"):
        for menu in re.findall(r"^```\{toctree\}\n(.*?)^```", index.read_text(), re.DOTALL | re.MULTILINE):
            for line in menu.splitlines():
                if line and not line.startswith(":"):
                    place = index.parent
                    here = sorted(place.glob(line + ".md")) if "*" in line else [place / f"{line}.md"]
                    found += [str(one.relative_to(DOCS).with_suffix("")) for one in here]
    return found
