"""Where this process may make control groups: for which controllers, in which version, and the reason where it may not.

Version 2 has one tree; version 1 has one tree per controller; a hybrid has both. Root makes its groups at the root of
the tree that it sees: a service that systemd restarts then finds its groups again. Other users make groups in the group
that was delegated to them, if there is one.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

CONTROLLERS = ("memory", "cpu", "pids")
# A group of version 2 contains either processes or groups with controllers. This one contains the daemon itself.
LEAF = "banger-daemon"


@dataclass(frozen=True)
class Delegation:
    """For each controller, either the directory in which this process makes groups (`bases`), or the reason why there
    is none (`missing`). `closed` are controllers that no user of this host may write to, whichever user runs the
    daemon."""

    bases: dict[str, Path]
    missing: dict[str, str]
    closed: frozenset[str] = frozenset()


class _Lack(NamedTuple):
    why: str
    is_closed: bool = False


class _Mount(NamedTuple):
    """`root` is the group of the tree that is visible at `point`."""

    version: int
    root: str
    point: Path
    controllers: frozenset[str]


@cache
def delegation() -> Delegation:
    """The delegation of this process. Under version 2 the process may move itself into a group of its own, to be
    allowed to pass controllers on."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape")
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as exc:
        return Delegation({}, dict.fromkeys(CONTROLLERS, f"cannot read /proc: {exc.strerror}"))
    return find_delegation(groups, mounts, root=os.geteuid() == 0)


def find_delegation(groups: str, mountinfo: str, *, root: bool, change: bool = True) -> Delegation:
    """The delegation, from the texts of /proc/PID/cgroup and /proc/PID/mountinfo. Without `change` the host is not
    changed: the result says what a change would lead to."""
    mounts = read_mounts(mountinfo)
    own = _read_groups(groups)
    bases: dict[str, Path] = {}
    lacks: dict[str, _Lack] = {}
    for controller in CONTROLLERS:
        found = _find_base(controller, mounts, own, root=root, change=change)
        if isinstance(found, Path):
            bases[controller] = found
        else:
            lacks[controller] = found
    closed = frozenset(controller for controller, lack in lacks.items() if lack.is_closed)
    return Delegation(bases, {controller: lack.why for controller, lack in lacks.items()}, closed)


def _find_base(
    controller: str, mounts: list[_Mount], own: dict[str, str], *, root: bool, change: bool
) -> Path | _Lack:
    mount = next((m for m in mounts if m.version == 1 and controller in m.controllers), None)
    if mount is None:
        mount = next((m for m in mounts if m.version == 2), None)
    if mount is None:
        return _Lack("no control groups are mounted", is_closed=True)
    base = mount.point if root else _below(mount, own.get(controller if mount.version == 1 else "", "/"))
    if base is None or not base.is_dir():
        return _Lack("this process's control group is not visible here")
    if mount.version == 2:
        return _open_unified(base, controller, change=change)
    return base if os.access(base, os.W_OK) else _not_ours(base)


def _not_ours(base: Path) -> _Lack:
    if os.statvfs(base).f_flag & os.ST_RDONLY:
        return _Lack("control groups are mounted read-only", is_closed=True)
    return _Lack("no control group is delegated to this user")


def _open_unified(base: Path, controller: str, *, change: bool) -> Path | _Lack:
    """Make the controller available in groups below `base`. Returns `base`, or why that is not possible."""
    try:
        if controller not in (base / "cgroup.controllers").read_text().split():
            return _Lack(f"the control group of this process has no {controller} controller")
        if not os.access(base, os.W_OK):
            return _not_ours(base)
        if controller not in (base / "cgroup.subtree_control").read_text().split():
            (_enable if change else _foresee)(base, controller)
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            return _Lack("the control group of this process contains other processes")
        return _Lack(f"the control group of this process cannot be used: {exc.strerror}")
    return base


def _enable(base: Path, controller: str) -> None:
    try:
        (base / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        leaf = base / LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")
        try:
            (base / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:  # another process is in the group: back to where we were
            (base / "cgroup.procs").write_text("0")
            leaf.rmdir()
            raise


def _foresee(base: Path, controller: str) -> None:
    """Raise the error that `_enable` would run into: another process in a group that is not the root of the tree."""
    others = set((base / "cgroup.procs").read_text().split()) - {str(os.getpid())}
    if others and (base / "cgroup.type").exists():
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _below(mount: _Mount, group: str) -> Path | None:
    """The directory of a group, or None if the mount does not show the group."""
    if group != mount.root and not group.startswith(mount.root.rstrip("/") + "/"):
        return None
    return mount.point / group[len(mount.root.rstrip("/")) :].lstrip("/")


def _read_groups(text: str) -> dict[str, str]:
    """The group of each controller; the key "" stands for version 2."""
    own: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        own.update(dict.fromkeys(names.split(","), path))
    return own


def read_mounts(text: str) -> list[_Mount]:
    """The mounts of control groups. See proc(5): after the separator come type, source and the options of the file
    system."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        words, kind = before.split(" "), after.split(" ")
        if kind[0] in ("cgroup", "cgroup2") and len(words) > 4:
            version = 2 if kind[0] == "cgroup2" else 1
            names = frozenset(kind[-1].split(",")) if version == 1 else frozenset()
            found.append(_Mount(version, _unescape(words[3]), Path(_unescape(words[4])), names))
    return found


def _unescape(text: str) -> str:
    for letter in " \t\n\\":
        text = text.replace(f"\\{ord(letter):03o}", letter)
    return text
