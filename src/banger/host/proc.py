"""Processes of others: identified by pid *and* start time, signalled through a pidfd, never by a bare pid.

A pid alone may have been given to somebody else since it was written down. And a process whose first thread has ended
looks like a zombie, while other threads of it go on: only its pidfd says whether it lives.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


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
    """The identity of a living process; None when there is none (one that only waits to be collected is none)."""
    fields = _stat_fields(pid)
    if fields is None:
        return None
    ref = ProcessRef(pid, int(fields[19]))
    return None if fields[0] in ("Z", "X") and not is_alive(ref) else ref


def child_ref(pid: int) -> ProcessRef:
    """The identity of a child of ours that nobody has collected yet, so that its pid is its own, alive or not."""
    fields = _stat_fields(pid)
    return ProcessRef(pid, int(fields[19]) if fields is not None else 0)


def is_alive(ref: ProcessRef) -> bool:
    fd = open_pidfd(ref)
    if fd is None:
        return False
    os.close(fd)
    return True


def open_pidfd(ref: ProcessRef) -> int | None:
    """A pidfd that surely is this process; None when all of it has ended. The caller closes it."""
    try:
        fd = os.pidfd_open(ref.pid)
    except OSError as exc:
        if exc.errno in (errno.ESRCH, errno.EINVAL):
            return None
        raise
    if _is(ref) and not _has_ended(fd):
        return fd
    os.close(fd)
    return None


def _is(ref: ProcessRef) -> bool:
    """Whether the pid is still, or again, that of this process, which may have ended."""
    fields = _stat_fields(ref.pid)
    return fields is not None and int(fields[19]) == ref.start


def _has_ended(pidfd: int) -> bool:
    """All threads of it, not just the first."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


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
        _collect(ref)
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
    _collect(ref)
    return True


def _collect(ref: ProcessRef) -> None:
    """If it is a child; its pid may be another child's by now."""
    if _is(ref):
        reap(ref.pid)


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
    """Living processes of ours whose start environment has `variable`, and its value. What a process of another user
    says of itself is not believed, nor what one says that was started by another user, as a set-uid program is."""
    wanted = f"{variable}=".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        values = [word for word in _environment(entry).split(b"\0") if word.startswith(wanted)]
        ref = ref_of(int(entry)) if values else None
        if ref is not None and _is_ours(entry):
            found.append((ref, os.fsdecode(values[0][len(wanted) :])))
    return found


def _is_ours(entry: str) -> bool:
    """By all of its user ids."""
    try:
        with open(f"/proc/{entry}/status", encoding="ascii", errors="replace") as file:
            ids = next(line for line in file if line.startswith("Uid:")).split()[1:]
    except (OSError, StopIteration):
        return False
    return set(ids) == {str(os.geteuid())}


def _environment(entry: str) -> bytes:
    """That of a process; nothing when it is gone, or not ours to ask."""
    return next(filter(None, _of_threads(entry, _read_environment)), b"")


def _read_environment(thread: str) -> bytes:
    with open(f"/proc/{thread}/environ", "rb") as file:
        return file.read()


def _of_threads(entry: str, look: Callable[[str], T]) -> Iterator[T]:
    """What `look` sees of the first thread; and of the others, if the first has ended and so has nothing any more."""
    try:
        yield look(entry)
    except OSError:
        pass
    fields = _stat_fields(int(entry))
    if fields is None or fields[0] != "Z":
        return
    try:
        threads = os.listdir(f"/proc/{entry}/task")
    except OSError:
        return
    for thread in threads:
        try:
            yield look(f"{entry}/task/{thread}")
        except OSError:
            continue


def working_directory(ref: ProcessRef) -> str:
    """Where a process is; empty when it is gone or not ours to ask."""
    return next(_of_threads(str(ref.pid), lambda thread: os.readlink(f"/proc/{thread}/cwd")), "")


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
