"""Processes: identified by pid *and* start time, signalled through a pidfd, never by pid alone.

After a process ends, the kernel may give its pid to another process. And a process whose first thread has ended looks
like a zombie while its other threads still run: only its pidfd tells whether it lives.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, TypeVar

from banger.host.bounded import Bounded
from banger.host.fs import inode_of
from banger.host.vm_users import is_ours

T = TypeVar("T")

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessRef(NamedTuple):
    """`start` is field 22 of /proc/PID/stat: clock ticks since boot."""

    pid: int
    start: int


class Usage(NamedTuple):
    """What a process has used: CPU seconds since its start, and resident and proportional memory in bytes."""

    cpu_s: float
    rss_bytes: int
    pss_bytes: int
    threads: int


def ref_of(pid: int) -> ProcessRef | None:
    """The identity of a living process; None if there is none. A zombie does not count as living."""
    fields = _stat_fields(pid)
    if fields is None:
        return None
    ref = ProcessRef(pid, int(fields[19]))
    return None if fields[0] in ("Z", "X") and not is_alive(ref) else ref


def child_ref(pid: int) -> ProcessRef:
    """The identity of a child of this process that has not been collected yet: until then its pid stays its own, alive
    or not."""
    fields = _stat_fields(pid)
    return ProcessRef(pid, int(fields[19]) if fields is not None else 0)


def is_alive(ref: ProcessRef) -> bool:
    fd = open_pidfd(ref)
    if fd is None:
        return False
    os.close(fd)
    return True


def open_pidfd(ref: ProcessRef) -> int | None:
    """A pidfd of exactly this process; None if all its threads have ended. The caller closes it."""
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
    """Whether the pid belongs to this process, which may have ended meanwhile."""
    fields = _stat_fields(ref.pid)
    return fields is not None and int(fields[19]) == ref.start


def _has_ended(pidfd: int) -> bool:
    """Whether all threads of the process have ended, not just the first."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def send_signal(ref: ProcessRef, signo: int) -> bool:
    """Returns False if the process is gone."""
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
    """Wait for a process (of any parent) to end; False if it does not end in time. Collects it if it is a child."""
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


# Of children that were collected lately: their exit codes, for who asks later.
_exits: Bounded[ProcessRef, int] = Bounded(1024)


def _collect(ref: ProcessRef) -> None:
    """Collect it if it is a child; its pid may belong to another child by now."""
    if _is(ref):
        code = reap(ref.pid)
        if code is not None:
            _exits[ref] = code


def exit_of(ref: ProcessRef) -> int | None:
    """The exit code of an ended child, or -N for signal N. None for a process that runs, that is no child, or that
    ended long ago."""
    if ref not in _exits:
        _collect(ref)
    return _exits.get(ref)


def reap(pid: int) -> int | None:
    """Collect an ended child and return its exit code, or -N for signal N. None if it is no child or still runs."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if done else None


async def kill_and_wait(ref: ProcessRef, timeout_s: float = 10) -> bool:
    """Send SIGKILL; True if the process is gone. A process in uninterruptible sleep may stay: False."""
    send_signal(ref, signal.SIGKILL)
    return await wait_gone(ref, timeout_s)


def find_marked(variable: str, value: str) -> list[ProcessRef]:
    """Living processes of this user whose initial environment has `variable=value`."""
    return [ref for ref, found in all_marked(variable) if found == value]


def all_marked(variable: str) -> list[tuple[ProcessRef, str]]:
    """Living processes of this user whose initial environment has `variable`, each with its value; or which have no
    environment, and show the value in their arguments (`mark_as_id`). Processes of other users are left out, since what
    they show proves nothing; so are set-uid programs that another user started."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        mark = _mark_of(entry, variable)
        ref = ref_of(int(entry)) if mark is not None else None
        if mark is not None and ref is not None and _is_ours(entry):
            found.append((ref, os.fsdecode(mark)))
    return found


def mark_as_id(variable: str, value: str) -> str:
    """What stands after `--id` in the arguments of a process that gets no environment."""
    return f"{variable.lower().replace('_', '-')}-{value}"


def _mark_of(entry: str, variable: str) -> bytes | None:
    environment = _read_first(entry, "environ")
    if environment.strip(b"\0"):
        wanted = f"{variable}=".encode()
        words = environment.split(b"\0")
    else:
        wanted = mark_as_id(variable, "").encode()
        words = [
            word for option, word in pairwise(_read_first(entry, "cmdline").split(b"\0")) if option == b"--id"
        ]
    return next((word[len(wanted) :] for word in words if word.startswith(wanted)), None)


def _is_ours(entry: str) -> bool:
    """Whether all four user ids of the process are this user's."""
    ids = set(_user_ids(entry))
    return len(ids) == 1 and is_ours(ids.pop())


def user_of(ref: ProcessRef) -> int | None:
    """The effective user id of a process; None if it has ended."""
    ids = _user_ids(str(ref.pid)) if _is(ref) else []
    return ids[1] if ids else None


def _user_ids(entry: str) -> list[int]:
    """Real, effective, saved and file system user id; nothing if there is no such process."""
    try:
        with open(f"/proc/{entry}/status", encoding="ascii", errors="replace") as file:
            return [int(word) for word in next(line for line in file if line.startswith("Uid:")).split()[1:]]
    except (OSError, StopIteration):
        return []


def _read_first(entry: str, name: str) -> bytes:
    """A file of a process; empty if the process is gone or, for its environment, belongs to another user."""

    def read(thread: str) -> bytes:
        with open(f"/proc/{thread}/{name}", "rb") as file:
            return file.read()

    return next(filter(None, _of_threads(entry, read)), b"")


def _of_threads(entry: str, look: Callable[[str], T]) -> Iterator[T]:
    """What `look` returns for the first thread; then, if that thread has ended and shows nothing, for the others."""
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


def working_inode(ref: ProcessRef) -> tuple[int, int] | None:
    """Device and inode of the directory that a process is in: the same through any mount namespace, which its path is
    not. None when the process is gone or not ours to ask."""
    return next(_of_threads(str(ref.pid), lambda thread: inode_of(f"/proc/{thread}/cwd")), None)


def output_directory(ref: ProcessRef) -> str:
    """The directory of the file that a process has as its standard output; empty as above."""
    output = next(_of_threads(str(ref.pid), lambda thread: os.readlink(f"/proc/{thread}/fd/1")), "")
    return os.path.dirname(output)


def cpu_seconds(ref: ProcessRef) -> float:
    """CPU seconds that a process has used; 0 if it is gone. Cheap: `usage` walks through all memory of the process."""
    fields = _stat_fields(ref.pid)
    if fields is None or int(fields[19]) != ref.start:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_bytes(ref: ProcessRef) -> int:
    """Resident memory of a process; 0 if the process is gone. Cheap, as `cpu_seconds`."""
    fields = _stat_fields(ref.pid)
    return int(fields[21]) * PAGE_BYTES if fields is not None and int(fields[19]) == ref.start else 0


def usage(ref: ProcessRef) -> Usage | None:
    """None if the process is gone."""
    fields = _stat_fields(ref.pid)
    if fields is None or int(fields[19]) != ref.start:
        return None
    return Usage(cpu_seconds(ref), int(fields[21]) * PAGE_BYTES, _pss_bytes(ref.pid), int(fields[17]))


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from field 3 (state) on. The name before them may contain any character."""
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
