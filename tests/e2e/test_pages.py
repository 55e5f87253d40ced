"""Pages of docs whose blocks are commands or Python: run from the top to the bottom, as a reader would."""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.home import Home, open_home
from tests.support.pages import RUN_BY, Block, blocks, name_of, pages, prints, steps
from tests.support.shell import reader_environment

pytestmark = pytest.mark.e2e
PATIENCE_S = 180


def runnable(page: Path) -> list[Block]:
    return [one for one in blocks(page) if not one.reason and one.language in ("console", "python")]


PAGES = [page for page in pages() if name_of(page) not in RUN_BY and runnable(page)]


def test_there_are_pages_to_run() -> None:
    assert len(PAGES) >= 4


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A page counts its machines, so no other test's may be there."""
    with open_home() as opened:
        yield opened


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_does_what_it_says(
    page: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines that the page makes are gone at its end: what it shows, it cleans up."""
    env = reader_environment(home, tmp_path)
    for name, value in home.env.items():
        if name.startswith("BANGER_"):
            monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"__name__": "page"}
    try:
        for block in runnable(page):
            if block.language == "console":
                check_console(page, block, env, tmp_path)
            else:
                check_python(page, block, names)
        left = [machine["name"] for machine in home.json("ps")]
        assert not left, f"{page.name} leaves {left}"
    finally:
        for machine in home.json("ps"):
            home.run("rm", "-f", machine["id"])


def check_console(page: Path, block: Block, env: dict[str, str], place: Path) -> None:
    for step in steps(block):
        done = subprocess.run(
            ["bash", "-c", step.command],
            env=env,
            cwd=place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        said = done.stdout.decode(errors="replace").splitlines()
        told = f"{page.name}:{block.line}: {step.command}\n{done.stdout.decode()}{done.stderr.decode()}"
        assert done.returncode == 0, f"exit code {done.returncode}: {told}"
        assert prints(step.printed, said), f"not {step.printed}: {told}"


def check_python(page: Path, block: Block, names: dict[str, Any]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(block.text, f"{page.name}:{block.line}", "exec"), names)
    if block.printed is not None:
        expected, found = (text.rstrip("\n").splitlines() for text in (block.printed, said.getvalue()))
        assert prints(expected, found), said.getvalue()


def test_a_page_that_says_what_is_not_so_is_noticed(home: Home, tmp_path: Path) -> None:
    env = reader_environment(home, tmp_path)
    good = Block("console", "$ echo a\na\n", 1)
    check_console(tmp_path / "p.md", good, env, tmp_path)
    for wrong in ("$ echo a\nb\n", "$ echo a\n", "$ false\n"):
        with pytest.raises(AssertionError):
            check_console(tmp_path / "p.md", Block("console", wrong, 1), env, tmp_path)
