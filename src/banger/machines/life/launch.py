"""From a record to a guest that is who its record says: as a clone of a template, or by a boot of its own.

    waiting clone ──┐
    template ───────┼──▶ identity ──▶ ready for its command
    boot ───────────┘

Every step notes its host resources before it takes them. A launch that fails, or is cancelled,
leaves no process, socket or namespace; the machine's files stay until it is deleted, for its logs.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import msgspec

from banger.agent.binary import agent_binary
from banger.errors import Error
from banger.guests.guest import Guest, boot, clone, take_places, with_disk_synced
from banger.guests.identity import Identity, configure, invent_identity, machine_id_of
from banger.guests.links import plan_link
from banger.host import cpu
from banger.host.fs import require_free
from banger.host.thread import in_thread
from banger.host.times import Stopwatch
from banger.kernels.debian import DEFAULT as DEFAULT_KERNEL
from banger.kernels.initramfs import ensure_initramfs
from banger.machines.keep.events import tell_warning
from banger.machines.keep.unreleased import require_released
from banger.machines.life.accelerators import describe_accelerator, settle_accelerator
from banger.machines.life.limits import Held, asked_limits, hold, refuse_unenforceable
from banger.machines.life.live import LiveMachine
from banger.machines.parts import Parts
from banger.model.image import Image, Kernel
from banger.model.machine import Machine, MachineSpec
from banger.model.operation import Report
from banger.model.sizes import MIB, format_size
from banger.resources import teardown
from banger.templates.making import BOOT_FAILURES
from banger.templates.wanted import Wanted, config_of_clone, plan_wanted
from banger.vmm.base import Driver, VmConfig, VmPlaces
from banger.vmm.frozen import Frozen
from banger.vmm.link import mac_of
from banger.wire.constants import Tag
from banger.wire.fields import Fields, readable

log = logging.getLogger("banger.machines")

_PHASES_MAX = 32


async def launch(
    parts: Parts, machine: Machine, image: Image, report: Report, watch: Stopwatch
) -> LiveMachine:
    """Start the machine's VM and make it who it is. Raises what went wrong."""
    refuse_unenforceable(machine.spec)
    spec = fill_in(machine.spec, image)
    driver, accel = await parts.drivers.choose(spec.accel, spec.driver)
    kernel = await parts.kernels.ensure(spec.kernel, report)
    await make_room(parts, machine.spec.memory_mib)
    # A VM's own overlay begins small; it must be possible to write to it at all.
    headroom_bytes = parts.settings.limits.disk_reserve_bytes
    await in_thread(require_free, parts.paths.machines, headroom_bytes, f"machine {machine.name}")
    config = await plan_config(
        parts,
        machine,
        kernel,
        driver,
        accel,
        parts.images.disk(image),
        max(machine.spec.disk_bytes, image.size_bytes),
    )
    has_disk = driver.disks.have(config.places.directory)
    _require_disk(machine, config.places, has_disk)
    driver, config, why_not = await settle_accelerator(parts, spec, kernel, driver, config, report)
    parts.registry.change(
        machine,
        spec=spec,
        driver=driver.name,
        accel=config.accel,
        accel_reason=why_not,
        image_digest=machine.image_digest or image.digest,  # its disk stays on what it began with
        kernel=kernel.name,
        kernel_digest=kernel.digest,
        stop_signal=image.config.stop_signal,
    )
    watch.lap("resolve")
    with parts.pool.machine_starts():
        guest = None
        if not has_disk and not spec.cold and _may_freeze(parts, driver):
            wanted = await plan_wanted(image, kernel, driver, config, guest_init(spec), spec.boot_timeout_s)
            guest = await _start_as_clone(parts, machine, wanted, report, watch)
        if guest is None:
            guest = await _start_by_boot(parts, machine, config, driver, report, watch)
        try:
            held = await hold(machine, guest, config, report)
            identity = invent_identity(
                machine.name,
                mac_of(config.link),
                taken_addresses(parts),
                guest_init(spec),
                machine_id=machine_id_of(guest.places.directory.name),
                has_ids=guest.has_ids,
            )
            answer = await identify(parts, machine, guest, identity, held, config.disk_bytes)
            _warn_of_small_root(parts, machine, answer, report)
        except BaseException:
            await guest.let_go()
            raise
    watch.lap("identity")
    _note_phases(answer, watch)
    return LiveMachine(machine, guest)


def fill_in(spec: MachineSpec, image: Image) -> MachineSpec:
    """With what the user left to the image. An entrypoint that is named along with `image` is what the image has for an
    init."""
    init = spec.init or ("image" if image.init == "image" else "agent")
    if spec.init == "image" and spec.command is not None and spec.command.entrypoint:
        init = "entrypoint"
    return msgspec.structs.replace(spec, kernel=spec.kernel or image.kernel or DEFAULT_KERNEL, init=init)


def guest_init(spec: MachineSpec) -> str:
    """As the agent is told it: a process 1 of a space of its own is no matter of the boot."""
    return "image" if spec.init == "image" else "agent"


def _warn_of_small_root(parts: Parts, machine: Machine, answer: Fields, report: Report) -> None:
    said = answer.shown(Tag.MESSAGE, 200)
    if said:
        warning = f"its root file system did not grow to {format_size(machine.spec.disk_bytes)}: {said}"
        parts.registry.change(
            machine,
            lambda: tell_warning(parts.journal.tell, machine, warning),
            warnings=(*machine.warnings, warning),
        )
        report("warning", f"{machine.name}: {warning}")


def _may_freeze(parts: Parts, driver: Driver) -> bool:
    return parts.settings.templates.enabled and driver.capabilities.freezes


def _require_disk(machine: Machine, places: VmPlaces, has_disk: bool) -> None:
    """Who has an address has lived, and so has a disk. It does not get an empty one for it, unsaid."""
    if machine.address and not has_disk:
        raise Error(
            "vmm_failed",
            f"the disk of {machine.name} is missing: it was in {places.directory}",
            f"put the disk back, or delete the machine: banger vm delete {machine.name}",
        )


async def make_room(parts: Parts, memory_mib: int) -> None:
    """Clones in waiting give way to a machine that needs their memory. Raises `insufficient_memory`."""
    reserve_bytes = parts.settings.limits.memory_reserve_bytes
    try:
        check_memory(memory_mib, reserve_bytes)
    except Error:
        await parts.pool.drain()
        check_memory(memory_mib, reserve_bytes)


def check_memory(memory_mib: int, reserve_bytes: int) -> None:
    """Refuse what cannot work. Guests take memory as they touch it, so a quarter of it must be
    there now, and all of it must exist; the host keeps `reserve_bytes`. Raises `insufficient_memory`."""
    wanted = memory_mib * MIB
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = cpu.available_memory_bytes()
    needed = wanted // 4 + 64 * MIB + reserve_bytes
    if wanted + reserve_bytes > total or needed > available:
        raise Error(
            "insufficient_memory",
            f"a machine with {format_size(wanted)} does not fit: this host has {format_size(total)} of memory, "
            f"of which {format_size(available)} are available and {format_size(reserve_bytes)} stay reserved",
            "use a smaller --memory, or stop other machines",
            {"memory_bytes": wanted, "available_bytes": available, "total_bytes": total},
        )


async def plan_config(
    parts: Parts,
    machine: Machine,
    kernel: Kernel,
    driver: Driver,
    accel: str,
    image_disk: Path,
    disk_bytes: int,
) -> VmConfig:
    """What a machine's VM is started with. Something frozen needs no `image_disk`: its own lies above it already."""
    agent = agent_binary(cpu.architecture())
    kernel_directory = parts.kernels.directory(kernel)
    initramfs = await in_thread(
        ensure_initramfs, parts.paths, kernel_directory, agent, driver.capabilities.agent_by_vsock
    )
    return VmConfig(
        places=plan_places(parts, machine),
        marker=machine.id,
        vmlinux=parts.kernels.vmlinux(kernel),
        modules_disk=parts.kernels.modules_disk(kernel),
        initramfs=initramfs,
        image_disk=image_disk,
        disk_bytes=disk_bytes,
        cpus=machine.spec.cpus,
        memory_mib=machine.spec.memory_mib,
        accel=accel,
        link=plan_link(driver),
        limits=asked_limits(machine.spec),
    )


def plan_places(parts: Parts, machine: Machine) -> VmPlaces:
    """One that was a clone in waiting stays where it waited: a VMM knows its files by their names. One that an earlier
    version started has its sockets where that one kept them."""
    place = machine.place or machine.id
    earlier = parts.paths.earlier_sockets / place
    return VmPlaces(
        name=machine.name,
        directory=parts.paths.machines / place,
        run_directory=earlier if earlier.is_dir() else parts.paths.sockets / place,
    )


def find_driver(parts: Parts, machine: Machine) -> Driver | None:
    """The one that the machine was started with; None before its first start. Raises `driver_not_found`."""
    return parts.drivers.named(machine.driver) if machine.driver else None


def forget_frozen(parts: Parts, machine: Machine) -> None:
    """Its VMM has ended: of what it was cloned from, it needs the disk alone. Files of a driver that this banger does
    not have stay as they are. A record that is older than the machine's start knows no driver: each forgets its own."""
    with contextlib.suppress(Error):
        driver = find_driver(parts, machine)
        for each in parts.drivers.all() if driver is None else [driver]:
            each.forget_frozen(plan_places(parts, machine))


def taken_addresses(parts: Parts) -> frozenset[str]:
    return frozenset(machine.address for machine in parts.registry.all() if machine.address)


async def _start_as_clone(
    parts: Parts, machine: Machine, wanted: Wanted, report: Report, watch: Stopwatch
) -> Guest | None:
    """None when it has to boot by itself, which the report then says why."""
    origin = f"template {wanted.id[:12]}"
    guest = await _take_waiting(parts, machine, wanted, origin)
    if guest is not None:
        watch.lap("restore")
        return guest
    parts.registry.change(machine, origin=origin)
    take_places(parts.store.resources, machine.id, wanted.config.places)
    for _ in range(2):  # a template that turns out to be damaged is made anew, once
        try:
            frozen = await parts.templates.ensure(wanted, report, machine.name)
            watch.lap("template")
            guest = await start_clone(parts, machine, wanted.config, wanted.driver, frozen, report)
            watch.lap("restore")
            return guest
        except Error as exc:
            if exc.code in BOOT_FAILURES:
                raise
            await require_released(parts, machine)
            await in_thread(wanted.driver.disks.discard, wanted.config.places.directory)
            take_places(parts.store.resources, machine.id, wanted.config.places)
            if exc.code == "unsupported":
                report(
                    "warning", f"{machine.name} boots without a template, which takes longer: {exc.message}"
                )
                break
            log.warning("machine=%s template %s: %s", machine.name, wanted.id[:12], exc.message)
            report("warning", f"{machine.name} does not start from its template: {exc.message}")
            if exc.code != "frozen_damaged":
                break
            await parts.templates.discard(wanted.id, exc.message)
    return None


async def _take_waiting(parts: Parts, machine: Machine, wanted: Wanted, origin: str) -> Guest | None:
    """One that dies just now is none."""
    guest = await parts.pool.take(wanted, machine.id, machine.name)
    if guest is None:
        return None
    try:
        parts.registry.change(machine, place=guest.places.directory.name, origin=origin)
        await guest.vm.grow_disk(wanted.config.disk_bytes)
        await guest.vm.resume()
    except Error as exc:
        log.warning("machine=%s a clone in waiting was no use: %s", machine.name, exc.message)
        await guest.let_go()
        await teardown.release(parts.store.resources, machine.id)
        parts.registry.change(machine, place="")
        return None
    return guest


async def start_clone(
    parts: Parts, machine: Machine, config: VmConfig, driver: Driver, frozen: Frozen, report: Report
) -> Guest:
    """A VM that goes on where `frozen` stopped, in the machine's own places."""
    report("clone", f"starting {machine.name} on {describe_accelerator(machine)}")
    config = config_of_clone(config, frozen, config.places, machine.id)
    await driver.prepare(config)
    coming = clone(parts.store.resources, machine.id, config, driver)
    return await with_disk_synced(driver, config.places, coming)


async def _start_by_boot(
    parts: Parts, machine: Machine, config: VmConfig, driver: Driver, report: Report, watch: Stopwatch
) -> Guest:
    parts.registry.change(machine, origin="boot")
    take_places(parts.store.resources, machine.id, config.places)
    await driver.prepare(config)
    watch.lap("disk")
    report("boot", f"starting {machine.name} on {describe_accelerator(machine)}")
    coming = boot(parts.store.resources, machine.id, config, driver, machine.spec.boot_timeout_s)
    guest = await with_disk_synced(driver, config.places, coming)
    watch.lap("kernel")
    return guest


async def identify(
    parts: Parts, machine: Machine, guest: Guest, identity: Identity, held: Held, disk_bytes: int
) -> Fields:
    """Before any process of its user runs in it."""
    spec = machine.spec
    # At once: whoever starts meanwhile gets another address.
    parts.registry.change(
        machine, address=identity.network.host_address, limits=held.limits, warnings=held.warnings
    )
    return await configure(guest.connection, identity, guest_init(spec), disk_bytes, spec.boot_timeout_s)


def _note_phases(answer: Fields, watch: Stopwatch) -> None:
    for raw in answer.all_bytes(Tag.PHASE)[:_PHASES_MAX]:
        name, _, milliseconds = readable(raw, 64).partition("=")
        if milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) < 10:
            watch.note(f"guest_{name[:32]}", float(milliseconds))
