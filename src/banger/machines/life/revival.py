"""A machine that goes on from something frozen: as itself again, or as a child with an identity of its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from banger.agent.process import list_execs
from banger.errors import Error
from banger.guests.guest import Guest, take_places
from banger.guests.identity import invent_identity, machine_id_of, refresh
from banger.host.times import Stopwatch
from banger.machines.life.accelerators import unavailable
from banger.machines.life.launch import (
    guest_init,
    identify,
    make_room,
    plan_config,
    start_clone,
    taken_addresses,
)
from banger.machines.life.lifecycle import begin_life, starting, watch_vmm
from banger.machines.life.limits import Held, hold, refuse_unenforceable
from banger.machines.life.live import LiveMachine
from banger.machines.life.sessions import adopt_execs
from banger.machines.parts import Parts
from banger.model.machine import Change, Machine
from banger.model.operation import Report
from banger.model.template import Shape
from banger.templates.shape import shape_difference
from banger.vmm.base import Driver, VmConfig
from banger.vmm.frozen import Frozen
from banger.vmm.link import mac_of


class Original(NamedTuple):
    """What somebody goes on from: how its record calls that, and where it is."""

    name: str
    files: Frozen
    shape: Shape


async def revive(
    parts: Parts,
    machine: Machine,
    original: Original,
    report: Report,
    *,
    as_itself: bool,
    become: Change | None = None,
) -> None:
    """Start `machine` where the original stopped, with all that ran in it; the disk that it had is gone then.
    `as_itself`: name, addresses and ids are those that were frozen; `become` is what its record has of the original's.
    Raises
    `snapshot_incompatible`, `frozen_damaged`, `insufficient_memory`."""
    async with starting(parts, machine, origin=original.name) as watch:
        await make_room(parts, original.shape.memory_mib)
        parts.registry.change(machine, **(become or Change()))
        driver, config = await plan_revival(parts, machine, original.shape)
        parts.registry.change(machine, driver=driver.name, accel=config.accel, accel_reason="")
        watch.lap("resolve")
        take_places(parts.store.resources, machine.id, config.places)
        await driver.disks.replace(config.places.directory, original.files)
        guest = await start_clone(parts, machine, config, driver, original.files, report)
        watch.lap("restore")
        try:
            held = await hold(machine, guest, config, report)
            live = await _settle(parts, machine, guest, held, config, watch, as_itself=as_itself)
        except BaseException:
            await guest.let_go()
            raise
        watch_vmm(parts, live)
    report("ready", f"{machine.name} is running")


async def _settle(
    parts: Parts,
    machine: Machine,
    guest: Guest,
    held: Held,
    config: VmConfig,
    watch: Stopwatch,
    *,
    as_itself: bool,
) -> LiveMachine:
    if as_itself:
        parts.registry.change(machine, limits=held.limits, warnings=held.warnings)
        await refresh(guest.connection, entropy=True)
    else:
        identity = invent_identity(
            machine.name,
            mac_of(config.link),
            taken_addresses(parts),
            guest_init(machine.spec),
            machine_id=machine_id_of(config.places.directory.name),
            lived=True,
        )
        await identify(parts, machine, guest, identity, held, config.disk_bytes)
    watch.lap("identity")
    known = await list_execs(guest.connection)
    live = LiveMachine(machine, guest)
    begin_life(parts, live)
    await adopt_execs(parts, live, known)
    watch.lap("exec")
    return live


async def plan_revival(parts: Parts, machine: Machine, shape: Shape) -> tuple[Driver, VmConfig]:
    """Its own VMM, accelerator and kernel, or none. Raises `snapshot_incompatible`, and `unsupported` for limits that
    cannot be held here."""
    refuse_unenforceable(machine.spec)
    driver, accel = await parts.drivers.choose(shape.accel, shape.driver)
    kernel = parts.kernels.get_version(machine.kernel, shape.kernel_digest)
    if not parts.kernels.vmlinux(kernel).exists():
        raise Error(
            "snapshot_incompatible",
            f"{machine.name} was frozen with another version of {kernel.name} than this host has",
            f"find the kernel of digest {shape.kernel_digest[:12]}... with banger kernel list",
        )
    if why := await parts.trials.known(driver, accel, kernel.digest):
        raise unavailable(accel, why)
    config = await plan_config(parts, machine, kernel, driver, accel, Path(), machine.spec.disk_bytes)
    different = shape_difference(shape, driver.name, await driver.build_of(config))
    if different:
        raise Error(
            "snapshot_incompatible",
            f"{machine.name} cannot continue here: when it was frozen, {different}",
            "boot the machine instead",
        )
    return driver, config
