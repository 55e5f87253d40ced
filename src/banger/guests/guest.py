"""Bring up a VM and its agent: by a boot, or as a clone of a frozen VM.

Each host resource is recorded for its owner before it is acquired. When bringing up fails or is cancelled, the caller
releases the resources from these records.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from banger.agent.connection import AgentConnection, open_connection
from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.guests.asker import MARK, note_request
from banger.guests.confinement import Confinement, choose_user, confine
from banger.guests.console import cause_of_panic, find_panic_line, read_console_tail
from banger.guests.links import linked
from banger.guests.taps import Taps
from banger.host import cpu
from banger.host.proc import ProcessRef, exit_of, send_signal, wait_gone
from banger.resources import kinds
from banger.store.resources import Identity, ResourceTable
from banger.vmm.base import Driver, Vm, VmConfig, VmLimits, VmPlaces
from banger.vmm.disk import DiskKind

_CONTROL_S = 30.0
_SETTLE_S = 1.0
_CLONE_S = 20.0
_PANIC_LINES = 80
_SHOWN_LINES = 8


@dataclass
class Guest:
    """A VM and its agent, from `boot` or `clone` until the VMM ends; the caller must watch for that end. `has_ids`: the
    guest got the machine id of its directory and keeps it. `booted`: its kernel has just booted, so its init may not be
    ready. `mac`, `address`: what its network interface has already for the
    machine that it will be; empty if it has a placeholder's. `root_disk`: how the disk of a waiting clone was made."""

    places: VmPlaces
    driver: Driver
    vm: Vm
    connection: AgentConnection
    confinement: Confinement
    has_ids: bool = False
    booted: bool = False
    mac: str = ""
    address: str = ""
    root_disk: DiskKind | None = None

    async def let_go(self) -> None:
        """Close the daemon's connections to the guest; the caller releases the VM."""
        self.connection.close()
        await self.vm.close()


def take_places(resources: ResourceTable, owner: str, places: VmPlaces) -> None:
    """Make the directories, unless the owner has them already."""
    noted = {(resource.kind, resource.identity.get("path")) for resource in resources.of_machine(owner)}
    for kind, directory in (
        (kinds.FILES.name, places.directory),
        (kinds.SOCKETS.name, places.run_directory),
    ):
        if (kind, str(directory)) not in noted:
            resources.note(owner, kind, {"path": str(directory)})
        ensure_private_directory(str(directory))


async def boot(
    resources: ResourceTable, taps: Taps, owner: str, config: VmConfig, driver: Driver, limit_s: float
) -> Guest:
    """Start a VM and wait for its agent. Raises `boot_failed`, `kernel_panic`, `boot_timeout`, `vmm_failed`,
    `network_failed`."""
    confinement = await confine(resources, owner, config, driver)
    async with linked(resources, taps, owner, config) as ready:
        vm = _start(resources, owner, ready, driver, confinement)
    try:
        connection = await _greet(vm, config.places, driver, limit_s, resync=False)
        return Guest(config.places, driver, vm, connection, confinement, booted=True)
    except BaseException:
        await vm.close()
        raise


async def clone(resources: ResourceTable, taps: Taps, owner: str, config: VmConfig, driver: Driver) -> Guest:
    """Start a VM from `config.frozen`. The guest runs, and still has the identity that it had when it was frozen.
    Raises `frozen_damaged` for every failure that a damaged original may cause, `network_failed`."""
    assert config.frozen is not None
    confinement = await confine(resources, owner, config, driver)
    async with linked(resources, taps, owner, config) as ready:
        vm = _start(resources, owner, ready, driver, confinement)
    try:
        await vm.connect_control(_CLONE_S)
        await vm.restore()
        await vm.grow_disk(config.disk_bytes)
        await limit_io(vm, config.limits)
        await vm.resume()
        connection = await _greet(vm, config.places, driver, _CLONE_S, resync=True)
        return Guest(config.places, driver, vm, connection, confinement)
    except BaseException as exc:
        await vm.close()
        if not isinstance(exc, Error):
            raise
        said = _last_line(config.places.vmm_log)
        raise Error(
            "frozen_damaged",
            f"a clone of {config.frozen.directory.name} did not start: {said or exc.message}",
            details={"cause": exc.code},
        ) from exc


async def with_disk_synced(driver: Driver, places: VmPlaces, coming: Coroutine[Any, Any, Guest]) -> Guest:
    """Await the guest that `coming` brings up, and sync the names of its disk to the host's disk meanwhile: before a
    process of a user runs in the guest. Takes as long as the slower of the two. A template's own disk does not need
    this."""
    syncing = asyncio.create_task(driver.disks.sync(places.directory))
    try:
        guest = await coming
    except BaseException:
        await asyncio.wait([syncing])  # the caller removes the files next, so the sync must have ended
        syncing.exception()
        raise
    try:
        await syncing
    except BaseException:
        await guest.let_go()
        raise
    return guest


def _start(
    resources: ResourceTable, owner: str, config: VmConfig, driver: Driver, confinement: Confinement
) -> Vm:
    identity: Identity = {"marker": config.marker, "boot": cpu.boot_id()}
    user = choose_user(resources, config.places.directory.parents[1])
    if user is not None:
        identity["user"] = user
    noted = resources.note(owner, kinds.VMM.name, identity)
    note_request(config.places.vmm_log, "started")
    vm = driver.start(dataclasses.replace(config, entrances=confinement.entrances, user=user))
    note_process(resources, noted, identity, vm.process)
    return vm


def note_process(resources: ResourceTable, noted: int, identity: Identity, process: ProcessRef) -> None:
    """Write the VMM's process into its record. If that fails, kill the process: it may be so new that a later search by
    its marker would miss it."""
    try:
        resources.update(noted, {**identity, "pid": process.pid, "start": process.start})
    except BaseException:
        send_signal(process, signal.SIGKILL)
        raise


async def limit_io(vm: Vm, limits: VmLimits) -> None:
    """Limit the disk's throughput, if the limits ask for it. Raises `vmm_failed`."""
    if limits.io_bytes or limits.io_operations:
        await vm.limit_io(limits.io_bytes, limits.io_operations)


async def _greet(
    vm: Vm, places: VmPlaces, driver: Driver, limit_s: float, *, resync: bool
) -> AgentConnection:
    """Wait for the agent, until the limit or the end of the VMM, whichever comes first."""
    greeting = asyncio.create_task(_connect(vm, places, limit_s, resync=resync))
    gone = asyncio.create_task(wait_gone(vm.process))
    try:
        await asyncio.wait([greeting, gone], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if greeting.done() and greeting.exception() is not None:
            await asyncio.wait([gone], timeout=_SETTLE_S)  # the sockets of a VMM close before it ends
        if gone.done():
            raise boot_failure(places, driver.name, exit_of(vm.process))
        if not greeting.done():
            raise _boot_timeout(places, limit_s)
        return greeting.result()
    finally:
        for task in (greeting, gone):
            task.cancel()
        await asyncio.wait([greeting, gone])


async def _connect(vm: Vm, places: VmPlaces, limit_s: float, *, resync: bool) -> AgentConnection:
    """Connect to the agent, and in parallel to the control socket; a clone has its control connection already."""
    control = None if resync else asyncio.create_task(vm.connect_control(_CONTROL_S))
    try:
        connection = await open_connection(vm.open_agent, places.name, limit_s + 5, resync=resync)
        if control is not None:
            await control
        return connection
    finally:
        if control is not None:
            control.cancel()
            await asyncio.wait([control])
            if not control.cancelled():
                control.exception()


def boot_failure(places: VmPlaces, driver: str, exit_code: int | None) -> Error:
    """The error for a VMM that ended before the agent answered: says whether the kernel or the VMM gave up."""
    console = read_console_tail(places.console_log, lines=_PANIC_LINES)
    panic = find_panic_line(console)
    shown = console[max(0, console.index(panic) - 1) :][:_SHOWN_LINES] if panic else console[-_SHOWN_LINES:]
    details: dict[str, object] = {"console": shown}
    if panic:
        return Error(
            "kernel_panic",
            f"the kernel of {places.name} panicked: {cause_of_panic(panic)}",
            "read the console lines below; try another --kernel or more --memory",
            details,
        )
    said = _last_line(places.vmm_log)
    if not console:
        why = said or f"{_words_of(exit_code)}, before the kernel of {places.name} wrote a line"
        return Error("vmm_failed", f"{driver} ended: {why}", "see the daemon's log", details)
    return Error(
        "boot_failed",
        f"the guest {places.name} stopped before its agent answered",
        "read the console lines below",
        details,
    )


def _words_of(exit_code: int | None) -> str:
    """An exit code as of `exit_of`."""
    if exit_code is None:
        return "no exit code is known"
    return f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"


def _boot_timeout(places: VmPlaces, limit_s: float) -> Error:
    return Error(
        "boot_timeout",
        f"the agent of {places.name} did not answer within {limit_s:g} s",
        "read the console lines below; a slow host needs a longer --boot-timeout",
        {"console": read_console_tail(places.console_log)},
    )


def _last_line(path: Path) -> str:
    """What the VMM said last, not we."""
    (line,) = read_console_tail(path, lines=1) or [""]
    return "" if line.startswith(MARK) else line
