"""From a record to a running guest: places, disk, VMM, agent, identity.

Every step notes its host resources before it takes them. A launch that fails, or is cancelled,
leaves no process, socket or namespace; the machine's files stay until it is deleted, for its logs.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from banger.agent.binary import agent_binary
from banger.agent.connection import FieldList, open_connection
from banger.errors import Error
from banger.host import cpu
from banger.host.fs import require_free
from banger.kernels.initramfs import ensure_initramfs
from banger.machines import teardown
from banger.machines.clock import Stopwatch
from banger.machines.console import read_console_tail
from banger.machines.live import LiveMachine
from banger.machines.parts import Parts
from banger.model.image import Image, Kernel
from banger.model.machine import Machine
from banger.model.operation import Report
from banger.model.sizes import MIB, format_size
from banger.network.user_nat import invent_mac, plan_user_nat
from banger.places import ensure_private_directory
from banger.vmm.base import Driver, VmConfig, VmPlaces
from banger.wire.constants import Tag, Type

# A VM's own overlay begins small; this much must be free so that it can be written to at all.
_DISK_HEADROOM_BYTES = 256 * MIB
_CONTROL_TIMEOUT_S = 30.0
_SETTLE_S = 1.0
_PANIC_LINES = 80
_SHOWN_LINES = 8


async def launch(
    parts: Parts, machine: Machine, image: Image, report: Report, watch: Stopwatch
) -> LiveMachine:
    """Start the machine's VMM and wait until its agent is configured. Raises what went wrong."""
    driver, accel = await parts.drivers.choose(machine.spec.accel)
    kernel = await parts.kernels.ensure(machine.spec.kernel, report)
    check_memory(machine.spec.memory_mib)
    require_free(parts.paths.machines, _DISK_HEADROOM_BYTES, f"machine {machine.name}")
    config = await _plan(parts, machine, image, kernel, accel)
    machine.driver, machine.accel = driver.name, accel
    machine.image_digest = machine.image_digest or image.digest  # its disk stays on what it began with
    machine.kernel = kernel.name
    watch.lap("resolve")
    _take_places(parts, machine, config.places)
    await driver.prepare(config)
    watch.lap("disk")
    report("boot", f"starting {machine.name} on {driver.name} with {accel}")
    live = _start(parts, machine, config, driver)
    watch.lap("vmm")
    await _boot(live, config.mac, watch)
    return live


def check_memory(memory_mib: int) -> None:
    """Refuse what cannot work. Guests take memory as they touch it, so a quarter of it must be
    there now, and all of it must exist. Raises `insufficient_memory`."""
    wanted = memory_mib * MIB
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = cpu.available_memory_bytes()
    needed = min(wanted // 4 + 64 * MIB, wanted + 64 * MIB)
    if wanted > total or needed > available:
        raise Error(
            "insufficient_memory",
            f"a machine with {format_size(wanted)} does not fit: this host has {format_size(total)}, "
            f"{format_size(available)} of it available",
            "use a smaller --memory, or stop other machines",
            {"memory_bytes": wanted, "available_bytes": available, "total_bytes": total},
        )


async def _plan(parts: Parts, machine: Machine, image: Image, kernel: Kernel, accel: str) -> VmConfig:
    agent = agent_binary(cpu.architecture())
    kernel_directory = parts.kernels.directory(kernel)
    initramfs = await asyncio.to_thread(ensure_initramfs, parts.paths, kernel_directory, agent)
    return VmConfig(
        places=plan_places(parts, machine),
        marker=machine.id,
        vmlinux=parts.kernels.vmlinux(kernel),
        modules_disk=parts.kernels.modules_disk(kernel),
        initramfs=initramfs,
        image_disk=parts.images.disk(image),
        disk_bytes=machine.spec.disk_bytes,
        cpus=machine.spec.cpus,
        memory_mib=machine.spec.memory_mib,
        accel=accel,
        mac=invent_mac(),
    )


def plan_places(parts: Parts, machine: Machine) -> VmPlaces:
    return VmPlaces(
        name=machine.name,
        directory=parts.paths.machines / machine.id,
        run_directory=parts.paths.vm_run / machine.id,
    )


def _take_places(parts: Parts, machine: Machine, places: VmPlaces) -> None:
    noted = {resource.kind for resource in parts.store.resources.of_machine(machine.id)}
    for kind, directory in (
        (teardown.FILES, places.directory),
        (teardown.SOCKETS, places.run_directory),
    ):
        if kind not in noted:
            parts.store.resources.note(machine.id, kind, {"path": str(directory)})
        ensure_private_directory(str(directory))


def _start(parts: Parts, machine: Machine, config: VmConfig, driver: Driver) -> LiveMachine:
    resources = parts.store.resources
    noted = resources.note(machine.id, teardown.VMM, {"marker": config.marker})
    vm = driver.start(config)
    pid, start = vm.process
    resources.update(noted, {"marker": config.marker, "pid": pid, "start": start})
    machine.pid = pid
    parts.registry.save(machine)
    live = LiveMachine(machine, config.places, driver, vm)
    parts.live[machine.id] = live
    return live


async def _boot(live: LiveMachine, mac: str, watch: Stopwatch) -> None:
    """Wait for the agent, but not longer than the VMM lives nor than the boot limit."""
    limit_s = live.machine.spec.boot_timeout_s
    boot = asyncio.create_task(_greet_and_configure(live, mac, watch))
    gone = asyncio.create_task(live.gone.wait())
    try:
        await asyncio.wait([boot, gone], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if boot.done() and boot.exception() is not None:
            await asyncio.wait([gone], timeout=_SETTLE_S)  # a VMM's sockets close before it is gone
        if gone.done():
            raise _boot_failure(live)
        if not boot.done():
            raise _boot_timeout(live, limit_s)
        boot.result()
    finally:
        for task in (boot, gone):
            task.cancel()
        await asyncio.wait([boot, gone])


async def _greet_and_configure(live: LiveMachine, mac: str, watch: Stopwatch) -> None:
    limit_s = live.machine.spec.boot_timeout_s
    control = asyncio.create_task(live.vm.connect_control(_CONTROL_TIMEOUT_S))
    try:
        live.connection = await open_connection(
            str(live.places.agent_socket),
            live.machine.name,
            live.on_agent_lost,
            limit_s + 5,
            resync=False,
        )
        watch.lap("kernel")
        await control
    finally:
        control.cancel()
        await asyncio.wait([control])
        if control.done() and not control.cancelled():
            control.exception()
    answer = await live.connection.request(Type.CONFIGURE, plan_identity(live.machine, mac), limit_s)
    watch.lap("agent")
    for phase in answer.strs(Tag.PHASE):
        name, _, milliseconds = phase.partition("=")
        if milliseconds.isdigit():
            watch.note(f"guest_{name[:32]}", float(milliseconds))
    live.machine.address = plan_user_nat().address.partition("/")[0]


def plan_identity(machine: Machine, mac: str) -> FieldList:
    """CONFIGURE's fields: who the guest is, its link, its init. Pure but for clock and randomness."""
    network = plan_user_nat()
    return [
        (Tag.HOSTNAME, machine.name),
        (Tag.MACHINE_ID, os.urandom(16).hex()),
        (Tag.CLOCK_NS, time.time_ns()),
        (Tag.ENTROPY, os.urandom(64)),
        (Tag.MAC, mac),
        (Tag.ADDRESS, network.address),
        (Tag.GATEWAY, network.gateway),
        (Tag.DNS, network.dns),
        (Tag.MTU, network.mtu),
        (Tag.INIT, machine.spec.init),
        (Tag.GROW, 1),
    ]


def _boot_failure(live: LiveMachine) -> Error:
    """The VMM ended before the agent was there: say which of the two gave up."""
    console = read_console_tail(live.places.console_log, lines=_PANIC_LINES)
    panic = next((line for line in console if "Kernel panic" in line), "")
    shown = console[max(0, console.index(panic) - 1) :][:_SHOWN_LINES] if panic else console[-_SHOWN_LINES:]
    details: dict[str, object] = {"console": shown}
    if panic:
        return Error(
            "kernel_panic",
            f"the kernel of {live.machine.name} panicked: {panic.partition('not syncing: ')[2] or panic}",
            "look at the console lines below; try another --kernel or more --memory",
            details,
        )
    said = _last_line(live.places.vmm_log)
    if said and not console:
        return Error("vmm_failed", f"{live.driver.name} ended: {said}", "see the daemon's log", details)
    return Error(
        "boot_failed",
        f"the guest {live.machine.name} stopped before its agent answered",
        "look at the console lines below",
        details,
    )


def _boot_timeout(live: LiveMachine, limit_s: float) -> Error:
    return Error(
        "boot_timeout",
        f"the agent of {live.machine.name} did not answer within {limit_s:g} s",
        "look at the console lines below; a slow host needs a longer --boot-timeout",
        {"console": read_console_tail(live.places.console_log)},
    )


def _last_line(path: Path) -> str:
    lines = read_console_tail(path, lines=1)
    return lines[0] if lines else ""
