"""Firecracker's own jailer, for users who want that one: it makes devices and a root directory, becomes the VMM's user,
and starts a copy of Firecracker there.

It runs inside our jail, with the layers that do not hinder it. The directory that it works in lies in memory, in the
mount namespace of our jail, so the kernel removes what the jailer leaves behind with its last process, however that
ends. The control group is ours, and recorded.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from banger.errors import Error
from banger.host import jail
from banger.host.jail import Jail
from banger.host.proc import mark_as_id
from banger.host.spawn import MARKER
from banger.vmm.base import VmConfig
from banger.vmm.firecracker import names
from banger.vmm.firecracker.versions import Version
from banger.vmm.link import Tap

NAME = "jailer"
# Layers of our jail that the jailer's work would be refused in.
_REASON = "Firecracker's jailer, which runs in its place, would be refused its work in it"
WITHOUT = MappingProxyType({jail.LANDLOCK: _REASON, jail.SECCOMP: _REASON})
_BASE = Path("/run/jailer")
# It wants a name of this kind.
_PROGRAM_WORD = "firecracker"
_CAPABILITIES = (
    *(jail.GIVE_AWAY, jail.WRITE_ALL, jail.CHANGE_GROUPS, jail.CHANGE_USER),
    *(jail.CHANGE_MOUNTS, jail.MAKE_DEVICES),
)


def problem_of(
    program: str, version: Version, found: Version | None, missing: dict[str, str], *, root: bool
) -> str:
    """Why this Firecracker cannot be started by that jailer, whose version is `found`; empty if it can. `missing`: of
    our jail."""
    if not root:
        return "Firecracker's jailer needs root, and this daemon is not root's"
    if found is None:
        return "Firecracker's jailer does not print its version"
    if found[:2] != version[:2]:
        return f"the jailer is that of Firecracker {found}, and Firecracker is {version}"
    if "mount" in missing:
        return f"Firecracker's jailer cannot mount here: {missing['mount']}"
    if _PROGRAM_WORD not in Path(program).name:
        return (
            f"Firecracker's jailer starts no program whose name does not have the word firecracker: {program}"
        )
    return ""


def root_of(program: str, config: VmConfig) -> Path:
    """The directory that is the root of Firecracker's, as the jailer names it."""
    return _BASE / Path(program).name / _id_of(config) / "root"


def plan_argv(
    jailer: str, program: str, config: VmConfig, bounds: dict[str, int], arguments: list[str]
) -> list[str]:
    """`bounds`: limits by the jailer's names, which has limits of its own otherwise. Raises `jail_failed`."""
    if config.user is None:
        raise Error("jail_failed", "Firecracker's jailer needs a user for each VMM", "run the daemon as root")
    limits = [word for name, bound in bounds.items() for word in ("--resource-limit", f"{name}={bound}")]
    return [
        *(jailer, "--id", _id_of(config), "--exec-file", program),
        *("--uid", str(config.user), "--gid", str(config.user), "--chroot-base-dir", str(_BASE)),
        *(*limits, "--", *arguments),
    ]


def prepare_jail(program: str, config: VmConfig) -> Jail:
    """What the jailer needs of the host, and where Firecracker finds it: by the names that it has in the VM's directory
    otherwise."""
    directory, root = config.places.directory, root_of(program, config)
    told = (names.CONFIGURATION,) if config.frozen is None else (names.STATE, names.MEMORY)
    kernel = (config.vmlinux, config.initramfs)
    written = names.written(config.places)
    elsewhere = {place: root / place.relative_to("/") for place in kernel}
    elsewhere |= {directory / name: root / name for name in told}
    elsewhere |= {path: root / path.name for path in written}
    elsewhere[config.modules_disk] = root / names.MODULES_LINK
    elsewhere[names.sockets(config.places)] = root / names.SOCKETS_LINK
    return Jail(
        read=(Path(program), *kernel, config.modules_disk, *(directory / name for name in told)),
        write=written,
        sockets=(names.sockets(config.places),),
        tap=config.link.fd if isinstance(config.link, Tap) else -1,
        capabilities=_CAPABILITIES,
        without=frozenset(WITHOUT),
        elsewhere=elsewhere,
        scratch=_BASE,
    )


def _id_of(config: VmConfig) -> str:
    """Also the mark of a process whose environment the jailer has taken away."""
    return mark_as_id(MARKER, config.marker)
