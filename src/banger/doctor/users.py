"""Namespaces and subordinate ids, which the build of an image with many owners needs."""

from __future__ import annotations

import os
from pathlib import Path

from banger.doctor.check import Mend, Sight, advise, install
from banger.doctor.host import Host
from banger.errors import Error, ToolMissing
from banger.host.run import have_tool, run
from banger.images.records.namespace import have_ranges, prepare_as_root, prepare_contained

_TRY_S = 4.0
_TABLES = ("/etc/subuid", "/etc/subgid")
_FIRST_ID, _IDS = 100_000, 65_536
# Settings of the kernel that may keep users from making namespaces, with the values that allow it.
_SETTINGS = (
    ("kernel.unprivileged_userns_clone", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "0"),
    ("user.max_user_namespaces", "15000"),
)


async def look_at_namespaces(host: Host) -> Sight:
    """Root needs only mount and process namespaces."""
    is_root = os.geteuid() == 0
    argv = prepare_contained(["true"]) if is_root else prepare_as_root(["true"], ranges=False)
    try:
        await run(argv, timeout_s=_TRY_S)
    except Error as exc:
        mend = install("util-linux") if isinstance(exc, ToolMissing) else _mend_namespaces()
        return Sight(f"{host.user} cannot create namespaces: {exc.message}", fine=False, mend=mend)
    return Sight("root needs no user namespace" if is_root else f"{host.user} can create user namespaces")


def _mend_namespaces() -> Mend:
    for name, wanted in _SETTINGS:
        path = Path("/proc/sys") / name.replace(".", "/")
        try:
            value = path.read_text().strip()
        except OSError:
            continue
        if (value == "0") != (wanted == "0"):
            return Mend(f"sysctl -w {name}={wanted}", root=True)
    return advise(
        "the system that runs this host (a container?) must allow namespaces: CAP_SYS_ADMIN, or no seccomp filter"
    )


def _give_ranges(user: str) -> Mend:
    """Ranges of ids that no user has: two users with the same ids could read each other's files."""
    tables = [Path(name).read_text() if Path(name).exists() else "" for name in _TABLES]
    rows = [line.split(":") for table in tables for line in table.splitlines()]
    ends = [int(row[1]) + int(row[2]) for row in rows if len(row) == 3 and (row[1] + row[2]).isdigit()]
    first = max(_FIRST_ID, *ends, 0)
    ids = f"{first}-{first + _IDS - 1}"
    return Mend(f"usermod --add-subuids {ids} --add-subgids {ids} {user}", root=True)


async def look_at_subuids(host: Host) -> Sight:
    """The ids are really mapped: a line in a file proves nothing."""
    if os.geteuid() == 0:
        return Sight("root has all ids")
    if not (have_tool("newuidmap") and have_tool("newgidmap")):
        return Sight("newuidmap and newgidmap are not installed", fine=False, mend=install("uidmap"))
    if not have_ranges():
        return Sight(
            f"{host.user} has no 65535 subordinate ids in /etc/subuid and /etc/subgid",
            fine=False,
            mend=_give_ranges(host.user),
        )
    try:
        await run(prepare_as_root(["true"]), timeout_s=_TRY_S)
    except Error as exc:
        return Sight(
            f"the subordinate ids of {host.user} cannot be mapped: {exc.message}",
            fine=False,
            mend=Mend("apt-get install --reinstall --yes uidmap", root=True),
        )
    return Sight(f"{host.user} has subordinate ids and can map them")
