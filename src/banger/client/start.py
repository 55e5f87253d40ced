"""Finding the daemon, and starting it if there is none. The one place where the client starts programs.

Ten clients at once start one daemon: the client that holds `<state>/start.lock` looks again before it starts a daemon.
The daemon writes "ready" to a pipe when its socket listens; if the pipe ends without that word, the daemon has died. A
daemon that lives but has lost its socket is told to listen again.

A daemon and a doctor inherit nothing of the place where they were started: not the working directory, which may contain
files of any user, and of the environment only the names in `environment`. They drop limits and open files by
themselves.
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
import time
from collections.abc import Callable, Iterator, Sequence

from banger import places
from banger.client import transport
from banger.client.incumbent import find_incumbent, who_listens
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


DAEMON_MODULE = "banger.server.daemon"
DOCTOR_MODULE = "banger.doctor"
READY_VARIABLE = "BANGER_READY_FD"
READY_TIMEOUT_S = 60.0
_READY_FD = 3
_LISTEN_S = 10.0
_STOP_S, _COLLECT_S = 30.0, 2.0
_POLL_S = 0.02
_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 8


def dial_or_start(path: str) -> socket.socket:
    """Connect to the daemon; if none listens, start one first (unless BANGER_SOCKET names a socket)."""
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
    """Check the owner of a socket below /tmp, where any user can make one: only a daemon of this user or of root is
    trusted."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    owner = int.from_bytes(credentials[4:8], sys.byteorder)
    if owner in (0, os.geteuid()):
        return connection
    connection.close()
    raise Error("daemon_unreachable", f"the daemon on {path} runs as another user (uid {owner})")


def ensure_daemon(path: str) -> bool:
    """Make sure that a daemon listens on `path`. True if this call started it.

    Raises `daemon_start_failed` with the end of the daemon's log.
    """
    from banger.directories import ensure_own_directory, ensure_private_directory

    state = places.state_directory()
    ensure_own_directory(state)
    ensure_private_directory(os.path.dirname(path))
    lock = _open(f"{state}/start.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if listens(path) or _listens_anew(path):
            return False
        _start(daemon_log())
        return True
    finally:
        os.close(lock)


def stop_daemon(path: str, ask: Callable[[], object]) -> bool:
    """Make sure that no daemon runs. A daemon that listens is asked to stop; a daemon without its socket gets a signal.
    False if there was none. Raises `timeout`."""
    incumbent = None
    try:
        with transport.dial(path) as connection:
            incumbent = who_listens(connection)
    except Error as exc:
        if not _is_absent(exc):
            raise
        incumbent = None if os.environ.get("BANGER_SOCKET") else find_incumbent()
        if incumbent is None:
            return False
        ask = incumbent.ask_to_end
    ask()
    if incumbent is None:
        gone = _within(_STOP_S, lambda: not listens(path))
    else:
        with incumbent:
            gone = incumbent.wait_gone(_STOP_S)
            if gone:
                incumbent.wait_collected(_COLLECT_S)
    if not gone:
        raise Error("timeout", f"the daemon on {path} did not end within {_STOP_S:.0f} s")
    return True


def _listens_anew(path: str) -> bool:
    """Whether a daemon that lives without its socket listens again now. If the daemon is about to end, wait for
    that."""
    incumbent = find_incumbent()
    if incumbent is None:
        return False
    with incumbent:
        incumbent.ask_to_listen()
        if _within(_LISTEN_S, lambda: listens(path) or incumbent.wait_gone(0)):
            return listens(path)
        raise Error(
            "daemon_unreachable",
            f"the daemon (process {incumbent.pid}) runs, but does not listen on {path}",
            f"kill {incumbent.pid}; machines keep running, and the next command starts another daemon",
        )


def _within(limit_s: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def become_doctor(words: Sequence[str]) -> NoReturn:
    """Replace this process by the doctor, which needs the engine but no daemon. Raises OSError."""
    from banger.environment import for_doctor

    sys.stdout.flush()
    environment = _with_our_code(for_doctor(os.environ))
    os.chdir("/")
    os.execve(sys.executable, [*_python(), DOCTOR_MODULE, *words], environment)


def become_program(argv: Sequence[str]) -> NoReturn:
    """Replace this process by a program that the user has. Raises OSError."""
    sys.stdout.flush()
    os.execvp(argv[0], list(argv))


def run_program(argv: Sequence[str]) -> int:
    """Run a program that the user has, on this terminal, to its end. Returns its exit code. Raises OSError."""
    sys.stdout.flush()
    return os.spawnvp(os.P_WAIT, argv[0], list(argv))


def begin_in_utf_8() -> None:
    """Replace this process by itself in a UTF-8 locale: names are bytes, and are read as UTF-8, as in a guest."""
    if not sys.flags.utf8_mode and len(sys.orig_argv) > 1:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _python() -> list[str]:
    """An interpreter with the same encoding of names, which does not load modules from the user's directories: without
    -P, the working directory would come first with -m."""
    return [sys.executable, *(("-X", "utf8") if sys.flags.utf8_mode else ()), "-P", "-m"]


def listens(path: str) -> bool:
    """Whether a process accepts connections on `path`."""
    try:
        transport.dial(path).close()
    except Error as exc:
        if _is_absent(exc):
            return False
        raise
    return True


def daemon_log() -> str:
    """The path of the log of this user's daemon."""
    return f"{places.state_directory()}/daemon.log"


def _is_absent(error: Error) -> bool:
    return error.details.get("errno") in (errno.ENOENT, errno.ECONNREFUSED)


def _start(log_path: str) -> None:
    """Start the daemon and wait until it listens."""
    log = _open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        old_size = os.fstat(log).st_size
        ready, writer = os.pipe()
        try:
            try:
                process = _spawn(writer, log)
            finally:
                os.close(writer)
            if reason := _await_ready(ready, process):
                raise _failed(reason, log_path, old_size)
        finally:
            os.close(ready)
    finally:
        os.close(log)


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Error(
            "daemon_start_failed",
            f"cannot open {path}: {exc.strerror}",
            "free space there, or set BANGER_HOME to a directory that you can write to",
        ) from exc


def _spawn(writer: int, log: int) -> int:
    """Start a process in a session of its own that inherits nothing but the pipe and the log. The process closes other
    files of a shell by itself, since a client with a low limit cannot name a file above it."""
    from banger.environment import for_daemon

    copies: list[int] = []
    try:
        for fd in (writer, log):
            copies.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _READY_FD + 1))
        environment = _with_our_code(for_daemon(os.environ))
        environment[READY_VARIABLE] = str(_READY_FD)
        return os.posix_spawn(
            sys.executable,
            [*_python(), DAEMON_MODULE],
            environment,
            file_actions=list(_plan_files(*copies)),
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except OSError as exc:
        raise Error("daemon_start_failed", f"cannot start {sys.executable}: {exc.strerror}") from exc
    finally:
        for fd in copies:
            os.close(fd)


def _plan_files(writer: int, log: int) -> Iterator[tuple[object, ...]]:
    """stdin empty, output to the log, the pipe as fd 3."""
    yield (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    yield (os.POSIX_SPAWN_DUP2, log, 1)
    yield (os.POSIX_SPAWN_DUP2, log, 2)
    yield (os.POSIX_SPAWN_DUP2, writer, _READY_FD)


def _with_our_code(environment: dict[str, str]) -> dict[str, str]:
    """The environment, with this copy of banger in PYTHONPATH if only the working directory or a relative path led
    Python to it."""
    from banger.environment import absolute

    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    search = environment.get("PYTHONPATH", "").split(os.pathsep)
    first = sys.path[0] if sys.path else ""
    if root in (absolute("."), absolute(first)) and root not in search:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [*search, root]))
    return environment


def _await_ready(ready: int, process: int) -> str:
    """Return when the daemon listens. Raises the error that the daemon reports, or the reason why it died."""
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    if not poll.poll(READY_TIMEOUT_S * 1000):
        return f"the daemon was not ready within {READY_TIMEOUT_S:.0f} s"
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
        pass  # another part of this process collects all children


def _failed(message: str, log_path: str, since: int) -> Error:
    tail = _tail(log_path, since)
    last = f": {tail[-1]}" if tail else ""
    return Error("daemon_start_failed", message + last, f"read the daemon's log: {log_path}", {"log": tail})


def _tail(path: str, since: int) -> list[str]:
    """The last lines of the log after byte `since`, as far as they can be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(since, os.fstat(file.fileno()).st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-_LOG_TAIL_LINES:]
