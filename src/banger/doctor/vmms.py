"""VMMs and accelerators: whether machines really run on this host."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Set
from pathlib import Path

from banger.agent.binary import agent_binary
from banger.doctor.check import Mend, Sight, advise, install, list_missing
from banger.doctor.host import Host
from banger.errors import Error
from banger.host import cpu, jail
from banger.host.run import run
from banger.model.doctor import Status
from banger.model.settings import read_settings
from banger.templates.trials import read_trials
from banger.vmm.drivers import FIRECRACKER, Drivers, find_drivers

_KVM = Path("/dev/kvm")
_WHOLE_LANDLOCK = 6
# What forbids namespaces to ordinary users, and the value that allows them: of Ubuntu, of Debian, of any kernel.
_REFUSE_NAMESPACES = {
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0",
    "/proc/sys/kernel/unprivileged_userns_clone": "1",
    "/proc/sys/user/max_user_namespaces": "65536",
}
_TRIAL_S = 3.5
_AGENT_S = 4.0


async def look_at_accelerator(host: Host) -> Sight:
    """By the rules for starting machines: whether KVM looks usable, and whether a machine has booted with it."""
    kvm = cpu.check_kvm()
    if kvm.usable:
        found = [why for trial, why in read_trials(host.paths.state).items() if trial.accel == "kvm"]
        failed = next(filter(None, found), "")
        if failed:
            told = f"KVM looks usable, but no machine boots with it: {failed}; machines run in software emulation"
            return Sight(told, fine=False, mend=_mend_trial({"kvm"}))
        return Sight(
            "machines boot with KVM"
            if found
            else "KVM looks usable; the first machine will show whether it is"
        )
    return Sight(f"{kvm.reason}: machines run in software emulation", fine=False, mend=_mend_kvm(host))


def _mend_kvm(host: Host) -> Mend:
    flags = cpu.cpu_flags()
    if cpu.architecture() == "amd64" and not flags & {"vmx", "svm"}:
        return advise(
            "turn on virtualisation in the firmware, or nested virtualisation in the host above this one"
        )
    if not _KVM.exists():
        return Mend(f"modprobe {'kvm_amd' if 'svm' in flags else 'kvm_intel'}", root=True)
    owner = _KVM.stat()
    if owner.st_gid != 0 and owner.st_mode & stat.S_IWGRP:
        return Mend(f"usermod --append --groups {owner.st_gid} {host.user}", root=True)
    return Mend("sh -c 'chgrp kvm /dev/kvm && chmod 0660 /dev/kvm'", root=True)


def look_at_jail(host: Host) -> Sight:
    """Which layers of the jail that VMMs run in this host has."""
    found = jail.look()
    held = [_with_version(name, found) for name in jail.LAYERS if name in found.held]
    if os.geteuid() == 0:
        held.insert(0, "a user of its own")
    told = f"VMMs run in a jail of {', '.join(held)}" if held else "VMMs run in no jail"
    if not found.missing:
        return Sight(told)
    return Sight(f"{told}; {list_missing(found.missing)}", fine=False, mend=_mend_jail(found))


def _with_version(layer: str, found: jail.Layers) -> str:
    """An old Landlock lacks rules that namespaces and the filter of system calls have."""
    if layer != jail.LANDLOCK or found.landlock >= _WHOLE_LANDLOCK:
        return layer
    return f"{layer} (version {found.landlock}: without rules for signals and abstract sockets)"


def _mend_jail(found: jail.Layers) -> Mend:
    if "user" in found.missing:
        for knob, value in _REFUSE_NAMESPACES.items():
            if Path(knob).exists():
                name = knob.removeprefix("/proc/sys/").replace("/", ".")
                return Mend(f"sysctl -w {name}={value}", root=True)
    if jail.LANDLOCK in found.missing:
        return advise("boot a kernel of version 5.13 or later with landlock in its lsm= list")
    if jail.SECCOMP in found.missing:
        return advise("boot a kernel that has CONFIG_SECCOMP_FILTER")
    return advise(
        "run banger on a kernel of version 5.12 or later, and not in a container that forbids mounts"
    )


async def look_at_vmm(host: Host) -> Sight:
    drivers = _drivers()
    every = await drivers.infos()
    infos = [info for info in every if not info.problem]
    if not infos:
        problems = "; ".join(info.problem for info in every)
        return Sight(problems, fine=False, mend=install("qemu-system-x86"))
    found = ", ".join(f"{info.name} {info.version} ({info.path})" for info in infos)
    lacks = await drivers.named(infos[0].name).lacks()  # another check covers a VMM that users name
    if lacks:
        status: Status | None = None if any(lack.is_fatal for lack in lacks) else "warning"
        return Sight(
            f"{found} has {'; '.join(lack.words for lack in lacks)}",
            fine=False,
            mend=install("qemu-system-x86"),
            status=status,
        )
    return Sight(found)


async def look_at_trial(host: Host) -> Sight:
    """With each accelerator that banger would choose."""
    drivers = _drivers()
    infos = [info for info in await drivers.infos() if not info.problem]
    if not infos:
        return Sight("no VMM to try", fine=False, mend=install("qemu-system-x86"))
    info = infos[0]
    begun = time.monotonic()
    tried = await asyncio.gather(
        *(drivers.named(info.name).try_machine(accel, _TRIAL_S) for accel in info.accels)
    )
    failed = {accel: why for accel, why in zip(info.accels, tried, strict=True) if why}
    ran = [accel for accel in info.accels if accel not in failed]
    problems = "; ".join(f"{accel}: {why}" for accel, why in failed.items())
    if failed and ran:  # machines use this one then
        told = f"a machine ran on {info.name} with {' and '.join(ran)}, none with {problems}"
        return Sight(told, fine=False, mend=_mend_trial(failed.keys()), status="warning")
    if failed:
        return Sight(
            f"no machine ran on {info.name}: {problems}", fine=False, mend=_mend_trial(failed.keys())
        )
    took_ms = (time.monotonic() - begun) * 1000
    return Sight(f"a machine ran on {info.name} with {' and '.join(info.accels)} ({took_ms:.0f} ms)")


def _mend_trial(failed: Set[str]) -> Mend:
    """Of these accelerators."""
    if failed == {"kvm"}:
        return advise("run machines without KVM: banger vm run --accel tcg")
    return Mend("apt-get install --reinstall --yes qemu-system-x86", root=True)


async def look_at_agent(host: Host) -> Sight:
    path = agent_binary(cpu.architecture())
    said = await run([str(path), "--tsc-khz"], timeout_s=_AGENT_S)
    khz = said.stdout.strip().decode("ascii", "replace")
    return Sight(f"{path} runs" + (f", and measures a TSC of {khz} kHz" if khz != "0" else ""))


async def look_at_firecracker(host: Host) -> Sight:
    """Needed only by users who name it, or its jailer."""
    settings = read_settings(host.paths.config).vmm
    driver = find_drivers(Path(os.devnull), programs=settings.programs, jails=settings.jails).named(
        FIRECRACKER
    )
    info = await driver.info()
    if not info.path:
        return Sight("not installed, and not needed")
    lacks = [lack.words for lack in await driver.lacks()]
    if info.problem or lacks:
        return Sight(
            f"{'; '.join(lacks) or info.problem} ({info.path})",
            fine=False,
            mend=advise(
                "install Firecracker 1.16.1 or newer, and the jailer of the same version if config.toml asks for"
                " it: https://github.com/firecracker-microvm/firecracker"
            ),
        )
    told = f"{info.version} ({info.path})"
    if info.jail:
        told += f" in its own {info.jail}"
    return Sight(told if info.accels else f"{told} cannot be used: {cpu.check_kvm().reason}")


def _drivers() -> Drivers:
    try:
        agent = agent_binary(cpu.architecture())
    except Error:  # another check covers it
        agent = Path(os.devnull)
    return find_drivers(agent)
