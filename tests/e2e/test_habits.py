"""docs/from-docker.md: each row of its tables is run, with `banger` in the place of `docker`."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, REPOSITORY, Home, open_home

pytestmark = pytest.mark.e2e
ROW = re.compile(r"^\| `docker (.+?)` \| (works|says why|refused|not yet) \|(.*)\|$", re.MULTILINE)
ROWS = ROW.findall((REPOSITORY / "docs/from-docker.md").read_text())


def test_every_row_has_a_verdict() -> None:
    text = (REPOSITORY / "docs/from-docker.md").read_text()
    assert len(ROWS) == text.count("\n| `docker ") >= 80


@pytest.fixture
def building_home() -> Iterator[Home]:
    with open_home(builder=True) as home:
        yield home


@pytest.mark.builds
@pytest.mark.timeout(900)
def test_command_lines_of_docker_run_as_they_are(building_home: Home, tmp_path: Path) -> None:
    """In the order of the page: a row uses what the rows before it made."""
    building_home.text("tag", IMAGE, "debian:bookworm")
    shim = tmp_path / "banger"
    shim.write_text("#!/bin/sh\nexec " + " ".join(building_home.argv()) + ' "$@"\n')
    shim.chmod(0o755)
    env = {
        **building_home.env,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "src"),
    }
    (tmp_path / "habit-box").mkdir()
    (tmp_path / "habit-box/Dockerfile").write_text("FROM scratch\nCOPY . /\nARG A\nENV A=$A\n")
    wrong = []
    for line, verdict, _ in ROWS:
        asked = line.replace("/tmp/habit-", f"{tmp_path}/habit-")
        if platform.machine() != "x86_64":
            asked = asked.replace("linux/amd64", "linux/arm64")
        done = subprocess.run(
            ["sh", "-c", f"banger {asked}"],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,  # a save reads all files of a machine
        )
        said = done.stderr.decode(errors="replace")
        fits = {
            "works": done.returncode == 0 and "means nothing here" not in said,
            "says why": done.returncode == 0 and "means nothing here: " in said,
            "refused": done.returncode == 2 and "banger has no --" in said.replace("no -v", "no --v"),
            "not yet": done.returncode == 2 and "hint: " in said and "--help" not in said,
        }
        if not fits[verdict]:
            wrong.append(f"{line}: {verdict}, but {done.returncode}: {done.stdout[-300:]!r} {said[-500:]}")
    assert not wrong, "\n".join(wrong)


def test_formats_and_logs_say_what_docker_would(own_home: Home) -> None:
    own_home.text(
        "run", "-d", "--name", "web", "-l", "a=b", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3"
    )
    assert own_home.text("wait", "web") == "3\n"
    assert sorted(own_home.text("logs", "web").split()) == ["err", "out"]
    assert own_home.text("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web") == "exited 3\n"
    listed = own_home.text("ps", "-a", "--filter", "status=exited", "--format", '{{.Names}} {{.Label "a"}}')
    assert listed == "web b\n"
    assert own_home.text("ps", "--format", "{{.Status}}").startswith("Exited (3) ")
    own_home.text("rm", "web")
