"""The programs of `tests/files`, and what they say."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.guests.shares import program as server_program
from tests.support.home import REPOSITORY

_BUILT = REPOSITORY / "build/tests/files"


def file_program(name: str) -> Path:
    """Built if it is not there or not current. Skips without a compiler."""
    if shutil.which("gcc") is None or shutil.which("make") is None:
        pytest.skip("capability missing: gcc and make, for programs that try files")
    _BUILT.mkdir(parents=True, exist_ok=True)
    with open(_BUILT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        argv = ["make", "-s", "-C", str(REPOSITORY / "tests/files"), f"OUT={_BUILT}"]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return _BUILT / name


def differences(here: str, there: str) -> set[tuple[str, str, str]]:
    """The cases of `calls` that were answered differently: case, answer here, answer there."""
    ours, theirs = (dict(_cases(text)) for text in (here, there))
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    return {(case, ours[case], theirs[case]) for case in ours if ours[case] != theirs[case]}


def _cases(text: str) -> Iterator[tuple[str, str]]:
    """Cases with their answers; the same words come more than once, and then have a number."""
    seen: dict[str, int] = {}
    for line in text.splitlines():
        case, _, answer = line.rpartition(": ")
        seen[case] = seen.get(case, 0) + 1
        yield f"{case} #{seen[case]}" if seen[case] > 1 else case, answer


@contextmanager
def mounted_here(
    source: Path, target: Path, *, mode: str = "rw", server: Path | None = None
) -> Iterator[list[str]]:
    """The beginning of a command line: what follows runs with `source` mounted at `target` as a guest has it, by this
    host's kernel, in a mount namespace of its own. Skips where that cannot be."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("capability missing: root and /dev/fuse, to mount a directory of this host on this host")
    target.mkdir(exist_ok=True)
    prefix = [
        "unshare",
        "-m",
        str(file_program("mounted")),
        str(server or server_program()),
        f"{mode}:{source}",
        str(target),
    ]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("capability missing: a mount namespace with a FUSE mount")
    yield prefix
