"""What several machines share, none of them can change for the others: looked at in the VMMs that run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.home import IMAGE, Home, open_home


class OpenFile(NamedTuple):
    fd: int
    writable: bool
    links: int
    inode: tuple[int, int]


@pytest.fixture(scope="module")
def own() -> Iterator[Home]:
    with open_home(own_templates=True) as home:
        yield home


def pid_of(home: Home, name: str) -> int:
    return int(home.json("vm", "show", name)["pid"])


def open_files(pid: int) -> list[OpenFile]:
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        file = os.stat(f"/proc/{pid}/fd/{entry}")
        if stat.S_ISREG(file.st_mode):
            info = Path(f"/proc/{pid}/fdinfo/{entry}").read_text()
            flags = int(next(line for line in info.splitlines() if line.startswith("flags:")).split()[1], 8)
            writable = flags & os.O_ACCMODE != os.O_RDONLY
            found.append(OpenFile(int(entry), writable, file.st_nlink, (file.st_dev, file.st_ino)))
    return found


def check(pid: int) -> None:
    """Nothing that has another name, or that another process has, is open for writing; and what is open for reading
    as the guest's memory cannot be opened for writing by its descriptor."""
    files = open_files(pid)
    assert all(file.links == 1 for file in files if file.writable), files
    mapped = Path(f"/proc/{pid}/maps").read_text()
    memories = [file for file in files if f" {file.inode[1]} " in mapped]
    assert memories
    for memory in memories:
        assert not memory.writable
        for flags in (os.O_RDWR, os.O_WRONLY):
            with pytest.raises(OSError):
                os.close(os.open(f"/proc/{pid}/fd/{memory.fd}", flags))


def test_no_machine_has_a_shared_file_open_for_writing(own: Home) -> None:
    own.text("run", "-d", "--name", "first", IMAGE)
    check(pid_of(own, "first"))
    own.text("vm", "snapshot", "first", "kept")
    own.text("vm", "fork", "first")
    machines = [pid_of(own, name) for name in ("first", "first-1")]
    own.text("vm", "restore", "first", "kept")
    for pid in (machines[1], pid_of(own, "first")):
        check(pid)

    own.text("vm", "snapshot", "first-1", "again")  # of a clone whose own files have no name any more
    own.text("vm", "restore", "first-1", "again")
    assert own.text("vm", "exec", "first-1", "--", "echo", "lives") == "lives\n"
    own.text("vm", "delete", "-f", "first", "first-1")


def test_a_template_that_is_changed_while_the_daemon_runs_is_not_used_again(own: Home) -> None:
    right = own.text("run", "--rm", IMAGE, "--", "uname", "-v")
    (memory,) = (own.state / "templates").glob("*/memory")
    before = memory.stat()
    memory.chmod(0o600)
    with open(memory, "r+b") as file:
        data = file.read()
        at = data.find(right.strip().encode()[:20])
        while at >= 0:
            file.seek(at)
            file.write(b"#1 POISONED")
            at = data.find(right.strip().encode()[:20], at + 1)
    os.utime(memory, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert own.text("run", "--rm", IMAGE, "--", "uname", "-v") == right
    (anew,) = (own.state / "templates").glob("*/memory")
    assert anew.stat().st_ino != before.st_ino
