"""The daemon: whether it runs, in this version, and can be reached; and what a daemon left that did not end
properly."""

from __future__ import annotations

import fcntl
import os
import shlex
from pathlib import Path

from banger import __version__
from banger.client import start
from banger.directories import ensure_own_directory, ensure_private_directory, why_refused
from banger.doctor.check import Mend, Sight, advise
from banger.doctor.host import Daemon, Host
from banger.host.proc import ref_of

_SOCKET_PATH_BYTES = 107


def look_at_daemon(host: Host) -> Sight:
    daemon = host.daemon
    if daemon.problem:
        return Sight(
            f"the daemon on {daemon.socket} does not work: {daemon.problem}",
            fine=False,
            mend=_mend_sick(host),
            status="problem",
        )
    if not daemon.answers:
        return Sight(
            f"no daemon runs on {daemon.socket}; the next command starts one", fine=False, mend=_start(daemon)
        )
    version = str(daemon.facts.get("version", "?"))
    if version != __version__:
        return Sight(
            f"the daemon is version {version}, this command is version {__version__}",
            fine=False,
            mend=Mend("banger system restart"),
            status="warning",
            why="the two may not understand each other; machines keep running through a restart",
        )
    return Sight(f"{version}, process {daemon.facts.get('daemon_pid')}, on {daemon.socket}")


def _start(daemon: Daemon) -> Mend:
    if os.environ.get("BANGER_SOCKET"):
        return advise("BANGER_SOCKET is set: start the daemon that listens there")

    def act(host: Host) -> str:
        begun = start.ensure_daemon(daemon.socket)
        return f"daemon {'started' if begun else 'runs already'} on {daemon.socket}"

    return Mend("banger system start", act=act)


def _mend_sick(host: Host) -> Mend:
    pid = _written_pid(host.paths.daemon_pid)
    if pid and ref_of(pid):
        return Mend(f"kill {pid}; banger system start")
    return advise(f"find the program that listens on {host.daemon.socket}, and end it")


def look_at_remains(host: Host) -> Sight:
    """A socket on which no process listens, or the pid of a process that is gone."""
    remains = _remains(host)
    if not remains:
        return Sight("no socket and no pid file are left over from an earlier daemon")
    names = shlex.join(map(str, remains))

    def act(host: Host) -> str:
        return f"removed {' '.join(map(str, _remove_remains(host)))}"

    return Sight(
        f"left over from a daemon that has ended: {names}", fine=False, mend=Mend(f"rm -f {names}", act=act)
    )


def _remains(host: Host) -> list[Path]:
    if host.daemon.answers or host.daemon.problem:
        return []
    found = []
    if host.paths.socket.is_socket():
        found.append(host.paths.socket)
    pid = _written_pid(host.paths.daemon_pid)
    if pid is not None and ref_of(pid) is None:
        found.append(host.paths.daemon_pid)
    return found


def _remove_remains(host: Host) -> list[Path]:
    """Remove the remains, while no daemon can start, and if none has started meanwhile."""
    ensure_own_directory(str(host.paths.state))
    lock = os.open(host.paths.state / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if start.listens(str(host.paths.socket)):
            return []
        remains = _remains(host)
        for path in remains:
            path.unlink(missing_ok=True)
        return remains
    finally:
        os.close(lock)


def _written_pid(path: Path) -> int | None:
    """The pid in a file; 0 for a text that is no number; None without a file."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() else 0


def look_at_sockets(host: Host) -> Sight:
    """The API's socket. Sockets of machines are addressed from their directory, so their paths may be long."""
    path = host.daemon.socket
    length = len(os.fsencode(path))
    if length > _SOCKET_PATH_BYTES:
        return Sight(
            f"{path} has {length} bytes; a socket's path may have at most {_SOCKET_PATH_BYTES}",
            fine=False,
            mend=advise("set BANGER_SOCKET, BANGER_HOME or XDG_RUNTIME_DIR to a shorter path"),
        )
    return Sight(f"{path}; it has {length} of {_SOCKET_PATH_BYTES} bytes")


def look_at_directories(host: Host) -> Sight:
    """Run directory, state and cache: they must belong to this user, without access for others."""
    places = [host.paths.run, host.paths.state, host.paths.cache]
    refused = {place: why for place in places if (why := why_refused(str(place)))}
    if refused:
        found = "; ".join(dict.fromkeys(refused.values()))
        return Sight(found, fine=False, mend=mend_owner(next(iter(refused))), status="problem")
    missing = [place for place in places if not place.exists()]
    loose = [place for place in places if place.exists() and place.stat().st_mode & 0o077]
    if not missing and not loose:
        return Sight(f"run {host.paths.run}, state {host.paths.state}, cache {host.paths.cache}")
    told = [f"{place} is not there yet" for place in missing]
    told += [f"{place} is open to other users" for place in loose]
    command = shlex.join(["install", "-d", "-m", "0700", *map(str, [*missing, *loose])])
    return Sight("; ".join(told), fine=False, mend=Mend(command, act=_make_private))


def _make_private(host: Host) -> str:
    changed = []
    for place in (host.paths.run, host.paths.state, host.paths.cache):
        if not place.exists() or place.stat().st_mode & 0o077:
            ensure_private_directory(str(place.resolve()))
            changed.append(str(place))
    return f"made private: {' '.join(changed)}"


def mend_owner(place: Path) -> Mend:
    """Give directories that root left in this user's directory back to the user. Other owners stay: a directory may be
    shared, or belong to another user on purpose."""
    left_by_root = place.is_dir() and not place.is_symlink() and place.stat().st_uid == 0 != os.geteuid()
    if left_by_root and place.parent.stat().st_uid == os.geteuid() and place != Path.home():
        return Mend(shlex.join(["chown", "-R", str(os.geteuid()), str(place)]), root=True)
    return advise("set BANGER_HOME to a directory that only you can write to")
