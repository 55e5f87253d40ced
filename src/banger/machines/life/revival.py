"""A machine that continues from a frozen machine: as itself again, or as a child with an identity of its own."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from banger.agent.process import list_execs
from banger.errors import Error
from banger.machines.keep.networks import Networks
from banger.machines.life.launch import Launch
from banger.machines.life.lifecycle import watch_vmm
from banger.machines.life.limits import hold, refuse_unconfined, refuse_unenforceable
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings, unavailable
from banger.machines.life.passage import Passage, link_in_use, prepare_passage
from banger.machines.life.publications import exposed_ports, publish
from banger.machines.life.sessions import adopt_execs
from banger.machines.life.shares import require_sources, share_on
from banger.model.machine import Change, Machine
from banger.model.operation import Report
from banger.model.origin import Origin
from banger.model.template import Shape
from banger.network.ports import bound, read_ports
from banger.templates.shape import shape_difference
from banger.vmm.base import Driver, VmConfig, VmPlaces
from banger.vmm.frozen import Frozen


class Original(NamedTuple):
    """The frozen machine to continue from: what it is to the new machine, its files and its shape."""

    origin: Origin
    files: Frozen
    shape: Shape


async def revive(
    lives: Lives,
    makings: Makings,
    machine: Machine,
    original: Original,
    report: Report,
    *,
    as_itself: bool,
    become: Change | None = None,
) -> None:
    """Start `machine` where the original stopped, with all its processes; the machine loses the disk that it had.
    `as_itself`: the machine keeps the name, addresses and ids that were frozen; `become`: fields of the original for
    the machine's record. Raises `snapshot_incompatible`, `frozen_damaged`, `insufficient_memory`."""
    async with (
        lives.start(machine, report, origin=original.origin) as begun,
        contextlib.AsyncExitStack() as ports,
    ):
        await makings.make_room(original.shape.memory_mib)
        lives.registry.change(machine, **(become or Change()))
        opened = ports.enter_context(bound(read_ports(machine.spec.ports)))
        opened += ports.enter_context(bound(exposed_ports(machine.spec, _exposed(makings, machine))))
        places = lives.holdings.places(machine)
        driver, config, passage = await prepare_revival(
            makings, lives.registry.networks, machine, places, original.shape
        )
        info = await driver.info()
        lives.registry.change(
            machine,
            driver=driver.name,
            driver_version=info.version,
            driver_lacks=info.lacks_in_words,
            accel=config.accel,
            accel_reason="",
        )
        begun.watch.lap("resolve")
        lives.holdings.take_places(machine)
        root_disk = await driver.disks.replace(places.directory, original.files)
        lives.registry.change(machine, root_disk=root_disk)
        coming = Launch(lives.registry, lives.holdings, makings, begun, driver, config, passage)
        guest = await coming.clone(original.files)
        begun.watch.lap("restore")
        try:
            held = await hold(machine, guest, config, report)
            if as_itself:
                await coming.continue_as_it_was(guest, held)
            else:
                await coming.identify(guest, held, lived=True)
            begun.watch.lap("identity")
            known = await list_execs(guest.connection)
            live = LiveMachine(machine, guest)
            lives.begin(live)
            await publish(makings.guards, lives.registry, machine, opened)
            await share_on(lives.holdings.resources, live)
            await adopt_execs(lives, live, known)
            begun.watch.lap("exec")
        except BaseException:
            await guest.let_go()
            raise
        watch_vmm(lives, live)
    report("ready", f"{machine.name} is running")


def _exposed(makings: Makings, machine: Machine) -> list[str]:
    """The ports that the machine's image exposes; none if the image is gone."""
    image = makings.images.find(machine.spec.image)
    return image.config.exposed_ports if image is not None else []


async def prepare_revival(
    makings: Makings, networks: Networks, machine: Machine, places: VmPlaces, shape: Shape
) -> tuple[Driver, VmConfig, Passage]:
    """The same driver, accelerator, kernel and kind of link as the frozen machine had. Raises `snapshot_incompatible`,
    `accelerator_unavailable` if this host lacks one of them; `limit_unenforceable`, `confinement_missing`,
    `network_unenforceable`, `network_not_found` for limits, a jail or a policy that this host lacks; `bad_mount` for
    a directory that is gone."""
    refuse_unenforceable(machine.spec)
    await require_sources(machine.spec)
    driver, accel = await makings.drivers.choose(shape.accel, shape.driver)
    kernel = makings.kernels.get_version(machine.kernel, shape.kernel_digest)
    if not makings.kernels.vmlinux(kernel).exists():
        raise Error(
            "snapshot_incompatible",
            f"{machine.name} was frozen with another version of {kernel.name} than this host has",
            f"find the kernel of digest {shape.kernel_digest[:12]}... with banger kernel list",
        )
    if why := await makings.trials.known(driver, accel, kernel.digest):
        raise unavailable(accel, why)
    frozen = link_in_use(shape.link, machine.spec)
    passage = await prepare_passage(makings, networks, driver, machine.spec, frozen)
    refuse_unconfined(machine.spec, driver, passage.link)
    config = await makings.config(machine, places, kernel, driver, accel, passage.link)
    different = shape_difference(shape, driver.name, await driver.build_of(config))
    if different:
        raise Error(
            "snapshot_incompatible",
            f"{machine.name} cannot continue here: when it was frozen, {different}",
            "boot the machine instead",
        )
    return driver, config, passage
