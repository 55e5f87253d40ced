"""Launch a machine: a clone of a template, or a VM that boots by itself, gets the machine's identity.

    waiting clone ──┐
    template ───────┼──▶ identity ──▶ ready for its command
    boot ───────────┘

Each step records its host resources before it acquires them. A launch that fails or is cancelled leaves no process,
socket or namespace; the machine's files, with its logs, stay until the machine is deleted.
"""

from __future__ import annotations

import dataclasses
import logging

import msgspec

from banger.errors import BootFailure, Error, FrozenDamaged, Unsupported
from banger.guests.asker import note_request
from banger.guests.guest import Guest, boot, clone, with_disk_synced
from banger.guests.identity import configure, invent_identity, machine_id_of, refresh
from banger.guests.taps import GuardedTaps
from banger.host.thread import in_thread
from banger.host.times import Stopwatch
from banger.kernels.debian import DEFAULT as DEFAULT_KERNEL
from banger.machines.keep.events import tell_warning
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.life.choice import choose_driver
from banger.machines.life.guest_wishes import plan_mounts
from banger.machines.life.limits import Held, hold, refuse_unconfined, refuse_unenforceable
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Start
from banger.machines.life.main_command import surroundings_of
from banger.machines.life.makings import Makings
from banger.machines.life.passage import Passage, admit, choose_network, prepare_passage
from banger.machines.life.shares import refuse_unshared
from banger.model.event import Tell
from banger.model.image import Image
from banger.model.machine import Machine, MachineSpec
from banger.model.origin import Booted, ClonedFromTemplate, Origin
from banger.model.sizes import format_size
from banger.resources import teardown
from banger.templates.wanted import Wanted, prepare_wanted
from banger.vmm.base import Driver, VmConfig, VmPlaces
from banger.vmm.frozen import Frozen
from banger.vmm.link import mac_of
from banger.wire.constants import Tag
from banger.wire.fields import Fields, readable

log = logging.getLogger("banger.machines")

_PHASES_MAX = 32


async def launch(
    registry: Registry, holdings: Holdings, makings: Makings, start: Start, image: Image
) -> LiveMachine:
    """Start the machine's VM and give the guest its identity. Raises the error of the step that failed."""
    machine, report, watch = start
    refuse_unenforceable(machine.spec)
    spec = fill_in(machine.spec, image)
    named = await choose_driver(makings, holdings, machine, spec, image, report)
    driver, accel = await makings.drivers.choose(spec.accel, named)
    passage = await prepare_passage(makings, registry.networks, driver, machine.spec)
    refuse_unconfined(machine.spec, driver, passage.link)
    refuse_unshared(machine.spec, driver)
    kernel = await makings.kernels.ensure(spec.kernel, report)
    await makings.make_room(spec.memory_mib)
    await makings.require_disk_room(machine)
    places = holdings.places(machine)
    config = await makings.config(machine, places, kernel, driver, accel, passage.link, image)
    if machine.wiped:  # the daemon was killed amid the reset
        await in_thread(driver.disks.discard, places.directory)
    has_disk = driver.disks.have(places.directory)
    _require_disk(machine, places, has_disk)
    driver, config, why_not = await makings.settle_accelerator(spec, named, kernel, driver, config, report)
    info = await driver.info()
    registry.change(
        machine,
        spec=spec,
        driver=driver.name,
        driver_version=info.version,
        driver_lacks=info.lacks_in_words,
        accel=config.accel,
        accel_reason=why_not,
        image_digest=machine.image_digest or image.digest,  # its disk stays on the image that it began with
        kernel=kernel.name,
        kernel_digest=kernel.digest,
        stop_signal=image.config.stop_signal,
        surroundings=surroundings_of(image.config),
    )
    watch.lap("resolve")
    coming = Launch(registry, holdings, makings, start, driver, config, passage)
    with makings.pool.machine_starts():
        guest = None
        if not has_disk and not spec.cold and makings.may_freeze(driver):
            wanted = await prepare_wanted(
                image, kernel, driver, config, guest_init(spec), spec.boot_timeout_s
            )
            guest = await coming.from_template(wanted)
        if guest is None:
            guest = await coming.boot()
        try:
            held = await hold(machine, guest, config, report)
            answer = await coming.identify(guest, held, has_ids=guest.has_ids)
            coming.warn_of_small_root(answer)
        except BaseException:
            await guest.let_go()
            raise
    watch.lap("identity")
    _note_phases(answer, watch)
    return LiveMachine(machine, guest)


class Launch:
    """The VM of one start: its configuration, and the steps to a guest with an identity."""

    def __init__(
        self,
        registry: Registry,
        holdings: Holdings,
        makings: Makings,
        start: Start,
        driver: Driver,
        config: VmConfig,
        passage: Passage,
    ) -> None:
        self._passage = passage
        self._registry = registry
        self._holdings = holdings
        self._makings = makings
        self._machine, self._report, self._watch = start
        self._driver = driver
        self._config = config

    async def from_template(self, wanted: Wanted) -> Guest | None:
        """A guest from a template; None if the machine must boot by itself, and then the report says why."""
        machine, report = self._machine, self._report
        origin = ClonedFromTemplate(template=wanted.id)
        guest = (
            None if machine.wiped else await self._take_waiting(wanted, origin)
        )  # it has its places already
        if guest is not None:
            self._watch.lap("restore")
            return guest
        self._registry.change(machine, origin=origin)
        self._holdings.take_places(machine)
        for _ in range(2):  # a damaged template is made again, once
            try:
                frozen = await self._makings.templates.ensure(wanted, report, machine.name)
                self._watch.lap("template")
                guest = await self.clone(frozen)
                self._watch.lap("restore")
                return guest
            except BootFailure:
                raise
            except Error as exc:
                await self._holdings.require_released(machine)
                await in_thread(self._driver.disks.discard, self._config.places.directory)
                self._holdings.take_places(machine)
                if isinstance(exc, Unsupported):
                    report(
                        "warning",
                        f"{machine.name} boots without a template, which takes longer: {exc.message}",
                    )
                    break
                log.warning("machine=%s template %s: %s", machine.name, wanted.id[:12], exc.message)
                report("warning", f"{machine.name} does not start from its template: {exc.message}")
                if not isinstance(exc, FrozenDamaged):
                    break
                await self._makings.templates.discard(wanted.id, exc.message)
        return None

    async def _take_waiting(self, wanted: Wanted, origin: Origin) -> Guest | None:
        """A waiting clone; None also if the clone has just died."""
        machine = self._machine
        guest = await self._makings.pool.take(wanted, machine.id, machine.name)
        if guest is None:
            return None
        note_request(guest.places.vmm_log, "taken from the pool")
        try:
            self._registry.change(
                machine, place=guest.places.directory.name, origin=origin, root_disk=guest.root_disk or ""
            )
            await guest.vm.grow_disk(self._config.disk_bytes)
            await guest.vm.resume()
        except Error as exc:
            log.warning("machine=%s a clone in waiting was no use: %s", machine.name, exc.message)
            await guest.let_go()
            await teardown.release(self._holdings.resources, machine.id)
            self._registry.change(machine, place="")
            return None
        return guest

    async def clone(self, frozen: Frozen) -> Guest:
        """A VM that continues where `frozen` stopped, in the machine's own places."""
        config = dataclasses.replace(self._config, frozen=frozen)
        self._report("clone", f"starting {self._machine.name} on {self._describe_accelerator()}")
        await self._prepare(config)
        taps = GuardedTaps(self._makings.guards)
        coming = clone(self._holdings.resources, taps, self._machine.id, config, self._driver)
        return await with_disk_synced(self._driver, config.places, coming)

    async def boot(self) -> Guest:
        machine, config = self._machine, self._config
        self._registry.change(machine, origin=Booted())
        self._holdings.take_places(machine)
        await self._prepare(config)
        self._watch.lap("disk")
        self._report("boot", f"starting {machine.name} on {self._describe_accelerator()}")
        limit_s = machine.spec.boot_timeout_s
        taps = GuardedTaps(self._makings.guards)
        coming = boot(self._holdings.resources, taps, machine.id, config, self._driver, limit_s)
        guest = await with_disk_synced(self._driver, config.places, coming)
        self._watch.lap("kernel")
        return guest

    async def _prepare(self, config: VmConfig) -> None:
        root_disk = await self._driver.prepare(config)
        if root_disk is not None:
            self._registry.change(self._machine, root_disk=root_disk)

    def _describe_accelerator(self) -> str:
        """The VMM and accelerator, and why the machine does not use a faster accelerator."""
        machine = self._machine
        because = f" ({machine.accel_reason})" if machine.accel_reason else ""
        return f"{machine.driver} with {machine.accel}{because}"

    async def identify(
        self, guest: Guest, held: Held, *, has_ids: bool = False, lived: bool = False
    ) -> Fields:
        """Give the guest the machine's identity, before a process of the user runs in it. `has_ids`, `lived`: as in
        `invent_identity`."""
        machine, spec = self._machine, self._machine.spec
        network = choose_network(self._registry, machine, self._config.link, guest.address)
        identity = invent_identity(
            spec.hostname or machine.name,
            guest.mac or mac_of(self._config.link),
            network,
            guest_init(spec),
            machine_id=machine_id_of(guest.places.directory.name),
            has_ids=has_ids,
            lived=lived,
        )
        randomizes = (await self._driver.info()).randomizes(self._config.accel, spec.aslr)
        # At once, so that other starts get other addresses.
        self._registry.change(
            machine,
            self._tell_of_network,
            address=network.host_address if identity.mac else "",
            wiped=False,
            network=self._passage.describe(network),
            limits=held.limits,
            warnings=(*held.warnings, *self._passage.warnings),
            confinement=held.confinement,
            aslr="on" if randomizes else "off",
        )
        await self._admit()
        disk_bytes, limit_s = self._config.disk_bytes, spec.boot_timeout_s
        mounts = () if lived else tuple(plan_mounts(spec))  # a copy has those of its original
        fields = ((Tag.RANDOMIZE, int(randomizes)), *mounts)
        return await configure(guest.connection, identity, guest_init(spec), disk_bytes, limit_s, more=fields)

    async def continue_as_it_was(self, guest: Guest, held: Held) -> None:
        """Let the guest go on with the identity that it had when it was frozen, its addresses included."""
        machine = self._machine
        network = choose_network(self._registry, machine, self._config.link)
        self._registry.change(
            machine,
            self._tell_of_network,
            network=self._passage.describe(network),
            limits=held.limits,
            warnings=(*held.warnings, *self._passage.warnings),
            confinement=held.confinement,
            wiped=False,
        )
        await self._admit()
        await refresh(guest.connection, entropy=True)

    def _tell_of_network(self, tell: Tell) -> None:
        for warning in self._passage.warnings:
            tell_warning(tell, self._machine, warning)

    async def _admit(self) -> None:
        """Let the machine into its network, and warn if that is not the network that it should have."""
        for warning in self._passage.warnings:
            self._report("warning", f"{self._machine.name}: {warning}")
        await admit(self._makings.guards, self._registry, self._holdings.resources, self._machine)

    def warn_of_small_root(self, answer: Fields) -> None:
        machine, said = self._machine, answer.shown(Tag.MESSAGE, 200)
        if said:
            warning = f"its root file system did not grow to {format_size(machine.spec.disk_bytes)}: {said}"
            self._registry.change(
                machine,
                lambda tell: tell_warning(tell, machine, warning),
                warnings=(*machine.warnings, warning),
            )
            self._report("warning", f"{machine.name}: {warning}")


def fill_in(spec: MachineSpec, image: Image) -> MachineSpec:
    """The spec with what the user left to the image. If the user asks for the image's init and names an entrypoint,
    that entrypoint is the init."""
    init = spec.init or ("image" if image.init == "image" else "agent")
    if spec.init == "image" and spec.command is not None and spec.command.entrypoint:
        init = "entrypoint"
    return msgspec.structs.replace(spec, kernel=spec.kernel or image.kernel or DEFAULT_KERNEL, init=init)


def guest_init(spec: MachineSpec) -> str:
    """The init as the agent is told it. A process 1 in a namespace of its own does not concern the boot."""
    return "image" if spec.init == "image" else "agent"


def _require_disk(machine: Machine, places: VmPlaces, has_disk: bool) -> None:
    """A machine that was started before must have a disk; never replace a lost disk by an empty one."""
    if (machine.address or machine.agent_boot) and not has_disk and not machine.wiped:
        raise Error(
            "vmm_failed",
            f"the disk of {machine.name} is missing: it was in {places.directory}",
            f"put the disk back, or delete the machine: banger vm delete {machine.name}",
        )


def _note_phases(answer: Fields, watch: Stopwatch) -> None:
    for raw in answer.all_bytes(Tag.PHASE)[:_PHASES_MAX]:
        name, _, milliseconds = readable(raw, 64).partition("=")
        if milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) < 10:
            watch.note(f"guest_{name[:32]}", float(milliseconds))
