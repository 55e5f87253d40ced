"""A directory of the host in a machine, beside the guest's own file system: timed in the guest."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.noise import sample
from bench.place import BANGER, BUILD, IMAGE, banger
from bench.share_tools import COMPILE, ENVIRONMENT, STATUS, fill_work, find_tools, send_tools
from bench.table import Row

_NAME = "bench-share"
_LIMIT_S = 600


class Amounts(NamedTuple):
    """`listed`, `made` and `compiled`: numbers of files; `mib`: of one file."""

    listed: int = 10_000
    made: int = 1000
    mib: int = 100
    compiled: int = 20
    runs: int = 3


USUAL = Amounts()


class Work(NamedTuple):
    """What is done in a directory $d; `aim_ms` for the host's directory."""

    name: str
    script: str
    aim_ms: float | None = None


def works(amounts: Amounts) -> list[Work]:
    """The guest's cache is emptied before each, and what is written reaches the disk."""
    mib, made = amounts.mib, amounts.made
    return [
        Work(f"ls -lR of {amounts.listed} files", "ls -lR $d/many >/dev/null"),
        Work(f"read {mib} MiB", "cat $d/large >/dev/null", mib * 20),
        Work(
            f"write {mib} MiB",
            f"dd if=/dev/zero of=$d/written bs=1M count={mib} conv=fsync 2>/dev/null",
            mib * 20,
        ),
        Work(
            f"{made} creates",
            f"mkdir $d/new; i=0; while [ $i -lt {made} ]; do echo x >$d/new/$i; i=$((i+1)); done",
            3000,
        ),
        Work(f"{made} removals", "rm -r $d/new"),
        *_works_with_tools(amounts),
    ]


def _works_with_tools(amounts: Amounts) -> list[Work]:
    if not find_tools():
        return []
    return [
        Work(f"git status of {amounts.listed} files", STATUS),
        Work(f"compilation of {amounts.compiled} files", COMPILE),
    ]


def measure(amounts: Amounts = USUAL) -> list[Row]:
    with _machine(amounts):
        rows = []
        taken = [_round(amounts) for _ in range(amounts.runs)]
        for number, work in enumerate(works(amounts)):
            for place, where in enumerate(("the host's directory", "the guest's own disk")):
                times = [one[place][number] for one in taken]
                rows.append(
                    Row(f"{where}: {work.name}", "ms", sample(times), work.aim_ms if place == 0 else None)
                )
        return rows


def _round(amounts: Amounts) -> list[list[float]]:
    """Milliseconds of each work, first in the host's directory, then on the guest's disk."""
    lines = [
        f"echo 3 >/proc/sys/vm/drop_caches; a=$(date +%s%N); {work.script}; b=$(date +%s%N); echo $(((b-a)/1000))"
        for work in works(amounts)
    ]
    return [
        [float(word) / 1000 for word in _in_guest(f"{ENVIRONMENT}; d={d}; " + "\n".join(lines)).split()]
        for d in ("/share", "/own")
    ]


def _in_guest(script: str) -> str:
    argv = [BANGER, "vm", "exec", _NAME, "--", "sh", "-c", script]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=_LIMIT_S
    ).stdout


@contextmanager
def _machine(amounts: Amounts) -> Iterator[None]:
    """A machine with a directory of the host at /share, and the same files on its own disk at /own."""
    directory = BUILD / "share"
    shutil.rmtree(directory, ignore_errors=True)
    _fill(directory, amounts)
    banger("vm", "run", "-d", "--name", _NAME, "-v", f"{directory}:/share", IMAGE, "--", "sleep", "infinity")
    try:
        _in_guest("cp -a /share /own; sync")
        if tools := find_tools():
            send_tools(tools, _NAME)
            # What git knows of the files holds for the place where it learned it.
            _in_guest(f"{ENVIRONMENT}; for d in /share /own; do {STATUS}; done")
        yield
    finally:
        banger("vm", "delete", "--force", _NAME)
        shutil.rmtree(directory)


def _fill(directory: Path, amounts: Amounts) -> None:
    for number in range(amounts.listed):
        part = directory / "many" / str(number // 1000)
        part.mkdir(parents=True, exist_ok=True)
        (part / f"file-{number}").write_bytes(b"x")
    with open(directory / "large", "wb") as large:
        for number in range(amounts.mib):
            large.write(bytes([number % 251]) * (1 << 20))
    if find_tools():
        fill_work(directory, amounts.compiled)
