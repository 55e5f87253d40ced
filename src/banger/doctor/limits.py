"""Memory, and the limits that this host can enforce for machines."""

from __future__ import annotations

import os
from pathlib import Path

from banger.doctor.check import Mend, Sight, advise, list_missing
from banger.doctor.host import Host
from banger.host import cpu
from banger.host.delegation import CONTROLLERS, LEAF, Delegation, find_delegation
from banger.model.sizes import MIB, format_size

# The memory that must be free for a machine of the usual size, by the rule for starting machines.
_USUAL_MIB = 512
_FIRST_MIB = _USUAL_MIB // 4 + 64
_NEVER_OVERCOMMIT = "2"


def look_at_groups(host: Host) -> Sight:
    """The groups of a running daemon, or else of a daemon that would be started from here. Changes nothing."""
    pid = host.daemon.facts.get("daemon_pid", "self")
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="surrogateescape")
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as exc:
        return Sight(f"cannot read /proc: {exc.strerror}", fine=False)
    groups = groups.replace(f"/{LEAF}\n", "\n")  # a daemon moves itself into this group
    found = find_delegation(groups, mounts, root=os.geteuid() == 0, change=False)
    held = [name for name in CONTROLLERS if name in found.bases]
    told = (
        f"version {_version(found)}: limits of {', '.join(held)} can be enforced"
        if held
        else "no limit can be enforced"
    )
    if not found.missing:
        return Sight(told)
    return Sight(f"{told}; {list_missing(found.missing)}", fine=False, mend=_mend_groups(found))


def _version(found: Delegation) -> str:
    versions = {"2" if (base / "cgroup.controllers").exists() else "1" for base in found.bases.values()}
    return " and ".join(sorted(versions))


def _mend_groups(found: Delegation) -> Mend:
    if Path("/run/systemd/system").is_dir() and os.geteuid() != 0:
        return Mend(
            "banger system stop; systemd-run --user --scope --property=Delegate=yes banger system start"
        )
    if found.closed:
        return advise("the system that runs this host (a container?) must give it writable control groups")
    return advise("start the daemon as root, or in a group that was delegated to you")


def look_at_memory(host: Host) -> Sight:
    reserve = host.settings.limits.memory_reserve_bytes
    available = cpu.available_memory_bytes()
    told = f"{format_size(available)} available, {format_size(reserve)} of it in reserve"
    if available < reserve + _FIRST_MIB * MIB:
        return Sight(
            f"{told}: no machine of {_USUAL_MIB} MiB can start",
            fine=False,
            mend=advise(
                "stop machines (banger vm list) or programs, or lower limits.memory_reserve in config.toml"
            ),
            status="problem",
        )
    if _overcommit() == _NEVER_OVERCOMMIT:
        return Sight(
            f"{told}; vm.overcommit_memory is 2, so clones count as if they shared no memory",
            fine=False,
            mend=Mend("sysctl -w vm.overcommit_memory=0", root=True),
        )
    return Sight(told)


def _overcommit() -> str:
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text().strip()
    except OSError:
        return ""
