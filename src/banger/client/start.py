"""Finding the daemon, and starting it when it isn't there. The one door through which the client starts programs.

Ten clients at once start one daemon: whoever holds `<run>/start.lock` looks again, and only then starts
one. The daemon says "ready" on a pipe when its socket listens; the pipe's end without that word
means that it died.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

from banger import places
from banger.client import transport
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DAEMON_MODULE = "banger.server.daemon"
DOCTOR_MODULE = "banger.doctor"
READY_VARIABLE = "BANGER_READY_FD"
READY_TIMEOUT_S = 60.0
_READY_FD = 3
_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 8


def dial_or_start(path: str) -> socket.socket:
    """Connect to the daemon; if none listens, start it first (unless BANGER_SOCKET names another)."""
    if os.environ.get("BANGER_SOCKET") or path != places.socket_path():
        return transport.dial(path)
    try:
        return _trusted(transport.dial(path), path)
    except Error as exc:
        if not _is_absent(exc):
            raise
    ensure_daemon(path)
    return _trusted(transport.dial(path), path)


def _trusted(connection: socket.socket, path: str) -> socket.socket:
    """A socket below /tmp may be anybody's: only our own daemon, or root's, is believed."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    owner = int.from_bytes(credentials[4:8], sys.byteorder)
    if owner in (0, os.geteuid()):
        return connection
    connection.close()
    raise Error("daemon_unreachable", f"the daemon on {path} runs as another user (uid {owner})")


def ensure_daemon(path: str) -> bool:
    """Have a daemon that listens on `path`; True if this call started it.

    Raises `daemon_start_failed` with the end of its log.
    """
    run = os.path.dirname(path)
    places.ensure_private_directory(run)
    lock = os.open(f"{run}/start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if listens(path):
            return False
        _start(daemon_log())
        return True
    finally:
        os.close(lock)


def become_doctor(words: Sequence[str]) -> NoReturn:
    """This process becomes the doctor's, which needs the engine but no daemon. Raises OSError."""
    sys.stdout.flush()
    os.execv(sys.executable, [*_python(), "-m", DOCTOR_MODULE, *words])


def begin_in_utf_8() -> None:
    """This process again, in a locale that is not UTF-8: names are bytes, and taken for UTF-8 as in a guest."""
    if not sys.flags.utf8_mode and len(sys.orig_argv) > 1:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _python() -> list[str]:
    """An interpreter that reads names as this one does."""
    return [sys.executable, *(("-X", "utf8") if sys.flags.utf8_mode else ())]


def listens(path: str) -> bool:
    """Whether someone accepts connections on `path`."""
    try:
        transport.dial(path).close()
    except Error as exc:
        if _is_absent(exc):
            return False
        raise
    return True


def daemon_log() -> str:
    """Where a daemon of this user logs, by the same rules as the daemon's own places."""
    home = os.environ.get("BANGER_HOME")
    if home:
        return os.path.join(os.path.abspath(home), "state", "daemon.log")
    state = os.environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        state = os.path.expanduser("~/.local/state")
    return os.path.join(state, "banger", "daemon.log")


def _is_absent(error: Error) -> bool:
    return error.details.get("errno") in (errno.ENOENT, errno.ECONNREFUSED)


def _start(log_path: str) -> None:
    """Start the daemon and wait until it listens."""
    os.makedirs(os.path.dirname(log_path), mode=0o700, exist_ok=True)
    old_size = os.path.getsize(log_path) if os.path.exists(log_path) else 0
    ready, writer = os.pipe()
    try:
        try:
            process = _spawn(writer, log_path)
        finally:
            os.close(writer)
        if reason := _await_ready(ready, process):
            raise _failed(reason, log_path, old_size)
    finally:
        os.close(ready)


def _spawn(writer: int, log_path: str) -> int:
    """A process in a session of its own that keeps nothing of ours but the pipe and the log."""
    high = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, 10)
    try:
        return os.posix_spawn(
            sys.executable,
            [*_python(), "-m", DAEMON_MODULE],
            _environment(),
            file_actions=list(_plan_files(high, log_path)),
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP),
        )
    except OSError as exc:
        raise Error("daemon_start_failed", f"cannot start {sys.executable}: {exc.strerror}") from exc
    finally:
        os.close(high)


def _plan_files(writer: int, log_path: str) -> Iterator[tuple[object, ...]]:
    """stdin from nowhere, output to the log, the pipe as fd 3, and nothing else that a shell left open."""
    yield (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    yield (os.POSIX_SPAWN_OPEN, 1, log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    yield (os.POSIX_SPAWN_DUP2, 1, 2)
    yield (os.POSIX_SPAWN_DUP2, writer, _READY_FD)
    for fd in _inheritable_fds():
        yield (os.POSIX_SPAWN_CLOSE, fd)


def _inheritable_fds() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > _READY_FD and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:
            continue
    return found


def _environment() -> dict[str, str]:
    """Ours, with paths that do not depend on the working directory."""
    environment = dict(os.environ)
    environment[READY_VARIABLE] = str(_READY_FD)
    if home := environment.get("BANGER_HOME"):
        environment["BANGER_HOME"] = os.path.abspath(home)
    if search := environment.get("PYTHONPATH"):
        environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, search.split(os.pathsep)))
    return environment


def _await_ready(ready: int, process: int) -> str:
    """Nothing once the daemon listens, else why it will not. Raises the error that the daemon names itself."""
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    if not poll.poll(READY_TIMEOUT_S * 1000):
        return f"the daemon did not get ready within {READY_TIMEOUT_S:.0f} s"
    said = os.read(ready, 4096)
    if said.startswith(b"ready"):
        return ""
    _reap(process)
    if said.startswith(b"error "):
        raise Error.from_dict(json.loads(said.removeprefix(b"error ")))
    return "the daemon ended before it was ready"


def _reap(process: int) -> None:
    try:
        os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        pass  # whoever we are a part of collects children by itself


def _failed(message: str, log_path: str, since: int) -> Error:
    tail = _tail(log_path, since)
    last = f": {tail[-1]}" if tail else ""
    return Error("daemon_start_failed", message + last, f"its log is {log_path}", {"log": tail})


def _tail(path: str, since: int) -> list[str]:
    """The last lines of the log after byte `since`, as far as they can be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(since, os.fstat(file.fileno()).st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-_LOG_TAIL_LINES:]
