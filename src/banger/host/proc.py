"""Processes of others: identified by pid *and* start time, signalled through a pidfd, never by a bare pid.

A pid alone may have been given to somebody else since it was written down.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ENDING_POLL_S, _ENDING_POLLS = 0.01, 200


class ProcessRef(NamedTuple):
    """`start` is field 22 of /proc/PID/stat: clock ticks since boot."""

    pid: int
    start: int


class Usage(NamedTuple):
    """What a process has used: CPU seconds since its start, resident and proportional memory."""

    cpu_s: float
    rss_bytes: int
    pss_bytes: int
    threads: int


def ref_of(pid: int) -> ProcessRef | None:
    """The identity of a living process; None when there is none (a zombie is none)."""
    fields = _stat_fields(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    return ProcessRef(pid, int(fields[19]))


def is_alive(ref: ProcessRef) -> bool:
    return ref_of(ref.pid) == ref


def open_pidfd(ref: ProcessRef) -> int | None:
    """A pidfd that surely is this process; None when it is gone. The caller closes it."""
    try:
        fd = os.pidfd_open(ref.pid)
    except OSError as exc:
        if exc.errno in (errno.ESRCH, errno.EINVAL):
            return None
        raise
    if is_alive(ref):
        return fd
    os.close(fd)
    return None


def send_signal(ref: ProcessRef, signo: int) -> bool:
    """False when the process is gone."""
    fd = open_pidfd(ref)
    if fd is None:
        return False
    try:
        signal.pidfd_send_signal(fd, signo)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


async def wait_gone(ref: ProcessRef, timeout_s: float | None = None) -> bool:
    """Wait for a process (ours or not) to end; False on time-out. Reaps it if it is a child."""
    fd = open_pidfd(ref)
    if fd is None:
        for _ in range(_ENDING_POLLS):
            if reap(ref.pid) is not None or not _is_ending_child(ref):
                break
            await asyncio.sleep(_ENDING_POLL_S)
        return True
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(fd, gone.set)
    try:
        async with asyncio.timeout(timeout_s):
            await gone.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    reap(ref.pid)
    return True


def _is_ending_child(ref: ProcessRef) -> bool:
    """It is a zombie already while other threads of it still end; until they have, it cannot be collected."""
    fields = _stat_fields(ref.pid)
    return (
        fields is not None
        and fields[0] == "Z"
        and fields[1] == str(os.getpid())
        and int(fields[19]) == ref.start
    )


def reap(pid: int) -> int | None:
    """Collect an ended child: its exit code, -N for a signal. None if it is no child or still runs."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if done else None


async def kill_and_wait(ref: ProcessRef, timeout_s: float = 10) -> bool:
    """SIGKILL; True when it is gone. A process in uninterruptible sleep may stay: False."""
    send_signal(ref, signal.SIGKILL)
    return await wait_gone(ref, timeout_s)


def find_marked(variable: str, value: str) -> list[ProcessRef]:
    """Living processes of ours whose start environment has `variable=value`."""
    return [ref for ref, found in all_marked(variable) if found == value]


def all_marked(variable: str) -> list[tuple[ProcessRef, str]]:
    """Living processes of ours whose start environment has `variable`, and its value."""
    wanted = f"{variable}=".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                values = [word for word in file.read().split(b"\0") if word.startswith(wanted)]
        except OSError:
            continue
        ref = ref_of(int(entry)) if values else None
        if ref is not None:
            found.append((ref, os.fsdecode(values[0][len(wanted) :])))
    return found


def working_directory(ref: ProcessRef) -> str:
    """Where a process is; empty when it is gone or not ours to ask."""
    try:
        return os.readlink(f"/proc/{ref.pid}/cwd")
    except OSError:
        return ""


def cpu_seconds(ref: ProcessRef) -> float:
    """What a process has used; 0 when it is gone. Cheap, where `usage` walks through all of its memory."""
    fields = _stat_fields(ref.pid)
    if fields is None or int(fields[19]) != ref.start:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def usage(ref: ProcessRef) -> Usage | None:
    """None when the process is gone."""
    fields = _stat_fields(ref.pid)
    if fields is None or int(fields[19]) != ref.start:
        return None
    return Usage(cpu_seconds(ref), int(fields[21]) * PAGE_BYTES, _pss_bytes(ref.pid), int(fields[17]))


def _stat_fields(pid: int) -> list[str] | None:
    """/proc/PID/stat from field 3 (state) on: the name before it may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("ascii", "replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _pss_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
