"""The programs of a home's network, which outlive the daemon: where they are, and how a daemon finds them."""

from __future__ import annotations

import platform
from pathlib import Path

from banger.errors import Error
from banger.host.fs import inode_of
from banger.host.proc import ProcessRef, all_marked, is_alive, working_inode
from banger.host.spawn import MARKER

# Their markers. The holder is the keeper's program, with another task.
NAMES = ("keeper", "relay", "holder")


def program(name: str) -> Path:
    """The path of the program. Raises `tool_missing` if it was not built."""
    path = Path(__file__).parent / "bin" / f"{name}-{platform.machine()}"
    if not path.is_file():
        raise Error("tool_missing", f"the {name} for {platform.machine()} is not built", "run make setup")
    return path


def find_running(name: str, directory: Path) -> ProcessRef | None:
    """The program as an earlier daemon started it, by its marker and its working directory. Blocking: looks at every
    process of the host."""
    try:
        here = inode_of(directory)
    except OSError:
        return None
    for process, marker in all_marked(MARKER):
        if marker == name and working_inode(process) == here and is_alive(process):
            return process
    return None
