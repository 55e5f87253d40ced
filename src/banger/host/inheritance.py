"""What a daemon must not inherit from the process that started it: limits of a shell, open files, the working
directory.

A shell's limits are meant for its own commands. The daemon serves later shells, too, and its VMMs inherit its limits.
"""

from __future__ import annotations

import contextlib
import os
import resource

from banger.environment import without_working_directory
from banger.errors import Error
from banger.model.sizes import MIB, format_size

_FEWEST_FILES, _MOST_FILES = 64, 1 << 19
_SMALLEST_FILE = 64 * MIB
_LEAST_STACK = 8 * MIB
# Size of a file, of memory, of data; processor time; processes; open files.
_RAISED = (
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_AS,
    resource.RLIMIT_DATA,
    resource.RLIMIT_CPU,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_NOFILE,
)


def shed(keep: int | None) -> None:
    """Drop all of these but standard input, output and error, and the open file `keep`. Raises `daemon_start_failed`
    when a limit that cannot be raised is too low for the daemon."""
    close_files(keep)
    raise_limits()
    refuse_core_dumps()
    os.environ.update(settled := without_working_directory(os.environ))
    for name in os.environ.keys() - settled.keys():
        del os.environ[name]
    os.chdir("/")


def close_files(keep: int | None) -> None:
    """Close all files with a number above 2, also above the current limit."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != keep:
            with contextlib.suppress(OSError):  # the descriptor that listed them
                os.close(int(name))


def raise_limits() -> None:
    for limit in _RAISED:
        _raise(limit)
    stack, most = resource.getrlimit(resource.RLIMIT_STACK)
    if _below(stack, _LEAST_STACK) and not _below(most, _LEAST_STACK):
        resource.setrlimit(resource.RLIMIT_STACK, (_LEAST_STACK, most))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _below(files, _FEWEST_FILES):
        raise _too_low(f"{files} open files", "ulimit -n", _FEWEST_FILES)
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if _below(size, _SMALLEST_FILE):
        raise _too_low(f"files of {format_size(size)}", "ulimit -f", "unlimited")


def refuse_core_dumps() -> None:
    """For values of secrets may be in our memory. A limit of one byte also keeps the kernel from piping a dump to a
    program, which a limit of zero does not."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def _raise(limit: int) -> None:
    """Raise a limit as far as this user may: root may raise a hard limit."""
    soft, hard = resource.getrlimit(limit)
    if soft == hard == resource.RLIM_INFINITY:
        return
    if os.geteuid() == 0:
        most = max(hard, _MOST_FILES) if limit == resource.RLIMIT_NOFILE else resource.RLIM_INFINITY
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))
            return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (hard, hard))


def _below(value: int, least: int) -> bool:
    return value != resource.RLIM_INFINITY and value < least


def _too_low(found: str, command: str, least: object) -> Error:
    return Error(
        "daemon_start_failed",
        f"the process that started the daemon is limited to {found}",
        f"start the daemon with a higher limit: {command} {least}; banger system start",
    )
