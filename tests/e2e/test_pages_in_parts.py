"""Pages whose blocks are parts of a session that they do not show in full: each line is run, after what it needs.

The pages are docs/compose.md, docs/events.md, docs/files.md, docs/limits.md, docs/network.md, docs/snapshots.md and
docs/web.md.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.home import IMAGE, REPOSITORY, Home, open_home
from tests.support.pages import RUN_BY, blocks, command_lines
from tests.support.shell import reader_environment

pytestmark = pytest.mark.e2e
PATIENCE_S = 180


@dataclass
class Session:
    """What a page leaves out. `files` are there from the beginning. `before` has commands to run before the line that
    contains their key, `instead` words to put in the place of others, and `without` the lines that are not run: their
    beginnings, and why."""

    files: dict[str, str] = field(default_factory=dict)
    before: dict[str, list[str]] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


PROJECT = f"""\
services:
  web:
    image: {IMAGE}
    command: sleep 900
  db:
    image: {IMAGE}
    command: sleep 900
    healthcheck: {{test: "true", interval: 1s}}
"""

SESSIONS = {
    "docs/compose.md": Session(
        files={"compose.yaml": PROJECT},
        instead={"psql -l": "true"},
        without={
            "banger up  ": "runs until it is interrupted",
            "banger compose logs -f": "runs until the machine stops",
        },
    ),
    "docs/files.md": Session(
        before={"-v ./src:/src": ["mkdir src site data"]},
        instead={"nginx": IMAGE},
    ),
    "docs/limits.md": Session(instead={"--io-limit 20MiB": "--limits best-effort --io-limit 20MiB"}),
    "docs/web.md": Session(instead={"banger ui": "banger ui --no-open"}),
    "docs/snapshots.md": Session(
        before={
            "vm fork dev": [f"banger run -d --name dev {IMAGE}"],
            "snapshot export": ["banger vm snapshot dev before"],
            "diff dev": ["banger exec dev sh -c 'echo new > /srv/new'"],
        },
        instead={"--name dev --tag": "--name other --tag", "-- make": "-- true"},
    ),
    "docs/events.md": Session(without={"banger events --follow": "runs until the daemon stops"}),
    "docs/network.md": Session(
        before={
            "vm network dev": [f"banger run -d --name dev {IMAGE}"],
            "--alias cache back redis": [f"banger run -d --name redis {IMAGE}"],
            "network prune": ["banger rm -f db web redis"],
        },
        instead={
            "my-database": IMAGE,
            "my-shop": IMAGE,
            "my-image": IMAGE,
            "0.0.0.0:8080:80 -p 53:53/udp": "0.0.0.0:0:80 -p 0:53/udp",
            "8080:80": "PORT:80",
            "vm run debian": "vm run --rm debian",
            "vm run --network": "vm run --rm --network",
        },
        without={
            "banger vm run debian-bookworm -- apt-get": "needs the internet",
            "banger vm run --deny '*' --allow deb": "needs the internet",
            "banger vm run --network lan debian": "is a shell at a terminal",
            "banger vm run --allow 192.168.1.20": "is a shell at a terminal",
            "banger vm tunnel": "runs until it is interrupted",
        },
    ),
}


@pytest.fixture
def with_images() -> Iterator[Home]:
    with open_home(own_images=True) as home:
        yield home


def lines_of(page: str) -> list[str]:
    return [line for block in blocks(REPOSITORY / page) for line in command_lines(block)]


def test_what_is_said_of_a_page_is_of_lines_that_it_has() -> None:
    for page, session in SESSIONS.items():
        assert RUN_BY[page] == f"tests/e2e/{Path(__file__).name}"
        lines = lines_of(page)
        for key in [*session.before, *session.instead, *session.without]:
            assert any(key in line for line in lines), f"no line of {page} has {key!r} any more"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", SESSIONS)
def test_each_command_line_of_a_page_succeeds(page: str, with_images: Home, tmp_path: Path) -> None:
    session, env, port = SESSIONS[page], reader_environment(with_images, tmp_path), free_port()
    done = []
    for name, text in session.files.items():
        (tmp_path / name).write_text(text)
    for line in lines_of(page):
        if any(line.startswith(beginning) for beginning in session.without):
            continue
        wanted = [
            command
            for key, found in session.before.items()
            if key in line and key not in done
            for command in found
        ]
        done += [key for key in session.before if key in line]
        # A table of commands has its explanations after blanks.
        asked = re.sub(r"\s{2,}(?![#-]).*$", "", line) if page == "docs/events.md" else line
        for old, new in session.instead.items():
            asked = asked.replace(old, new)
        for command in [*wanted, asked.replace("PORT", port)]:
            ended = subprocess.run(
                ["bash", "-c", command],
                env=env,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE_S,
            )
            assert ended.returncode == 0, f"{command}\n{ended.stdout.decode()}{ended.stderr.decode()}"


def test_a_program_that_follows_events_hears_how_a_machine_ended(home: Home, tmp_path: Path) -> None:
    (program,) = [block.text for block in blocks(REPOSITORY / "docs/events.md") if block.language == "python"]
    home.text("run", "-d", "--name", "dev", IMAGE, "sh", "-c", "sleep 3; exit 7")
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(command, env=reader_environment(home, tmp_path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"command its command ended with 7\n"
        finally:
            process.kill()
            home.text("rm", "-f", "dev")
