"""Disk space, file systems, and the clock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from banger import __file__ as package_file
from banger.doctor.check import Mend, Sight, advise
from banger.doctor.daemons import mend_owner
from banger.doctor.host import Host
from banger.host.sparse import FICLONE
from banger.model.sizes import GIB, format_size

_BUILD_BYTES = GIB
_FEW_INODES = 10_000
_SKEW_S = 120.0
_PROBE_BYTES = 4096


def look_at_room(host: Host) -> Sight:
    """Space where state and cache are, or will be."""
    reserve = host.settings.limits.disk_reserve_bytes
    told, full, scarce = [], [], []
    for kind, place in _places(host):
        info = os.statvfs(existing(place))
        free = info.f_bavail * info.f_frsize
        told.append(f"{kind} {format_size(free)} free")
        if free < reserve:
            full.append(kind)
        elif free < reserve + _BUILD_BYTES or (info.f_files and info.f_favail < _FEW_INODES):
            scarce.append(kind)
            if info.f_files and info.f_favail < _FEW_INODES:
                told[-1] += f", {info.f_favail} inodes left"
    found = ", ".join(told)
    if not (full or scarce):
        return Sight(found)
    return Sight(
        f"{found}: {'less than the reserve of ' + format_size(reserve) if full else 'too little for a new image'}",
        fine=False,
        mend=Mend("banger system df; banger image prune; banger template prune; banger image cache prune"),
        status="problem" if full else "warning",
    )


def look_at_file_system(host: Host) -> Sight:
    """Tried with files without names, except for one, which has a name for a moment."""
    told, problems = [], []
    for kind, place in _places(host):
        directory = existing(place)
        name = file_system_of(directory)
        try:
            shares = _can_share(directory)
        except OSError as exc:
            problems.append(f"{kind} ({directory}, {name}): {exc.strerror}")
            continue
        told.append(
            f"{kind} on {name}, {'reflinks' if shares else 'no reflinks: copies take time and space'}"
        )
    apart = _apart(host)
    if problems:
        return Sight(
            f"cannot write: {'; '.join(problems)}",
            fine=False,
            mend=_mend_unwritable(host),
            status="problem",
        )
    if apart:
        return Sight(
            f"{', '.join(told)}; no hard links between {' and '.join(apart)}",
            fine=False,
            mend=advise(
                f"keep everything below {host.paths.state} on one file system: without hard links clones are copies"
            ),
        )
    return Sight(", ".join(told))


def look_at_clock(host: Host) -> Sight:
    """No file can have a time in the future, by this clock or by a file server's."""
    now = time.time()
    written = [Path(package_file), host.paths.database, host.paths.daemon_log, host.paths.daemon_pid]
    for path in written:
        with contextlib.suppress(OSError):
            ahead = path.stat().st_mtime - now
            if ahead > _SKEW_S:
                return _wrong_clock(f"{path} has a time {ahead:.0f} s in the future")
    with contextlib.suppress(OSError), _nameless(existing(host.paths.state)) as fd:
        os.write(fd, b"x")
        apart = os.fstat(fd).st_mtime - time.time()
        if abs(apart) > _SKEW_S:
            return _wrong_clock(
                f"the time of a file that was written now differs by {apart:+.0f} s from this clock"
            )
    return Sight(time.strftime("%Y-%m-%d %H:%M:%S UTC, and no file has a later time", time.gmtime(now)))


def _wrong_clock(found: str) -> Sight:
    return Sight(found, fine=False, mend=Mend("timedatectl set-ntp true", root=True))


def _places(host: Host) -> list[tuple[str, Path]]:
    return [("state", host.paths.state), ("cache", host.paths.cache)]


def existing(place: Path) -> Path:
    """The directory itself, or its nearest parent that exists."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def file_system_of(directory: Path) -> str:
    """The file system of the mount that the directory is on."""
    best, name = "", "an unknown file system"
    where = str(directory.resolve())
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        if (where == point or where.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, name = point, after.split()[0]
    return name


@contextlib.contextmanager
def _nameless(directory: Path) -> Iterator[int]:
    """A file without a name."""
    fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _can_share(directory: Path) -> bool:
    """Whether a copy can share its blocks with the original. Raises OSError if the directory cannot be written to."""
    try:
        with _nameless(directory) as source, _nameless(directory) as copy:
            os.write(source, bytes(_PROBE_BYTES))
            with contextlib.suppress(OSError):
                fcntl.ioctl(copy, FICLONE, source)
                return True
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
    return False


def _apart(host: Host) -> list[str]:
    """Two directories between which files cannot be linked; empty if all can be, or do not exist yet."""
    paths = host.paths
    first, *others = [
        place for place in (paths.machines, paths.templates, paths.snapshots) if place.is_dir()
    ] or [paths.state]
    for other in others:
        if not _can_link(first, other):
            return [first.name, other.name]
    return []


def _can_link(source: Path, target: Path) -> bool:
    name = target / f".doctor-{os.urandom(8).hex()}"
    try:
        with _nameless(source) as fd:
            # Without a descriptor Python calls link(), which does not follow; the path is absolute.
            os.link(f"/proc/self/fd/{fd}", name, src_dir_fd=fd, follow_symlinks=True)
    except OSError as exc:
        return exc.errno != errno.EXDEV
    name.unlink()
    return True


def _mend_unwritable(host: Host) -> Mend:
    state = host.paths.state
    if existing(state).stat().st_uid != os.geteuid():
        return mend_owner(state)
    return advise("remount it writable, free space, or set BANGER_HOME to another place")
