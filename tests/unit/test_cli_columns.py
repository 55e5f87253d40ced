"""Help, tables and errors on real terminals of 60 and 80 columns: no line is longer, so that none wraps."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_client_stand_in import MACHINE, StandIn, running

WIDTHS = (60, 80)
# Runs many command lines in one process; a mark before each.
CHILD = r"""
import json, sys
from banger.cli.dispatch import dispatch
for words in json.loads(sys.argv[1]):
    sys.stderr.flush()
    print("\x1emark", *words, flush=True)
    dispatch(words)
    sys.stdout.flush()
"""
EVERY_HELP = r"""
import json
from banger.cli.table import NOUNS
print(json.dumps([["help"], *([noun] for noun in NOUNS)]
    + [[noun, verb, "--help"] for noun, verbs in NOUNS.items() for verb in verbs]))
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    (tmp_path / "run").mkdir()
    with running(tmp_path / "run") as running_one:
        yield running_one


def shown(width: int, commands: str, env: dict[str, str]) -> dict[str, list[str]]:
    """What a terminal of that width is sent, as lines, for each command."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    argv = [sys.executable, "-c", CHILD, commands]
    child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **env})
    os.close(slave)
    data = b""
    try:
        while piece := _read(master):
            data += piece
    finally:
        os.close(master)
        assert child.wait(60) == 0
    found: dict[str, list[str]] = {}
    for part in COLOUR.sub("", data.decode()).split("\x1emark ")[1:]:
        command, *lines = part.split("\r\n")
        found[command] = lines
    return found


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # the last process has closed the terminal
        return b""


def too_long(found: dict[str, list[str]], width: int) -> list[str]:
    """A line of exactly the width does not wrap. A command to copy stays one line, however long it is."""
    return [
        f"{command}: {line}"
        for command, lines in found.items()
        for line in lines
        if len(line) > width and not line.startswith(("hint: banger ", "  banger "))
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_help_wraps(width: int) -> None:
    commands = subprocess.run([sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, check=True)
    found = shown(width, commands.stdout, {})
    assert len(found) > 100
    wrapped = too_long(found, width)
    assert not wrapped, "\n".join(wrapped)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_and_no_error_wraps(width: int, stand_in: StandIn) -> None:
    long = {**MACHINE, "name": "a-machine-with-a-name-of-some-length", "reason": "it was told to stop " * 5}
    stand_in.answers["GET", "/v1/machines"] = [MACHINE, long]
    commands = """[["ps"], ["vm", "list"], ["vm", "bogus"], ["run", "--memry", "1", "x"], ["logs"], ["volume", "ls"],
        ["build", "."], ["run", "--device", "/dev/fuse", "x"], ["update", "dev"],
        ["vm", "show", "there-is-no-machine-of-this-name"], ["run", "--memory", "much", "x"]]"""
    found = shown(width, commands, {"BANGER_SOCKET": str(stand_in.path)})
    assert len(found) == 11 and all(len(lines) > 1 for lines in found.values())
    wrapped = too_long(found, width)
    assert not wrapped, "\n".join(wrapped)
