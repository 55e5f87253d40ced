"""What `--driver auto` means for a machine: a driver that runs machines with KVM alone, where all of these hold;
otherwise the driver that a machine without `--driver` gets.

1. Its program is installed, and its version lacks nothing.
2. KVM looks usable, and a machine with the real kernel and agent has come up in it, on this driver
   (`templates.trials`).
3. The driver has the network that this host gives machines, or the machine has none.

A machine that has a disk keeps the driver that made it.
"""

from __future__ import annotations

from banger.errors import Error
from banger.host import cpu
from banger.machines.keep.holdings import Holdings
from banger.machines.life.makings import Makings
from banger.model.image import Image
from banger.model.machine import Machine, MachineSpec
from banger.model.operation import Report
from banger.model.report import AutoDriver
from banger.vmm.base import Driver, DriverInfo
from banger.vmm.drivers import AUTO
from banger.vmm.link import NoLink, UserNat

_ACCEL = "kvm"


async def choose_driver(
    makings: Makings, holdings: Holdings, machine: Machine, spec: MachineSpec, image: Image, report: Report
) -> str:
    """The name of the machine's driver; empty for the first that works. With "auto", tries a machine if none was tried
    yet."""
    if spec.driver != AUTO:
        return spec.driver
    places = holdings.places(machine)
    made_by = holdings.driver(machine)
    if made_by is not None and made_by.disks.have(places.directory):
        return made_by.name
    if spec.accel not in (AUTO, _ACCEL):
        return ""
    for driver in _fast(makings):
        if (spec.mounts and not driver.capabilities.shares) or (
            spec.volumes and not driver.capabilities.volumes
        ):
            continue
        if why_not(await driver.info()) or (_has_network(spec) and await _lacks_network(makings, driver)):
            continue
        kernel = await makings.kernels.ensure(spec.kernel, report)
        if await makings.trials.known(driver, _ACCEL, kernel.digest) is None:
            report("accelerator", f"checking whether {kernel.name} boots with {driver.name} and {_ACCEL}")
        config = await makings.config(machine, places, kernel, driver, _ACCEL, NoLink(), image)
        if not await makings.trials.why_not(driver, config, kernel.digest):
            return driver.name
    return ""


async def foresee(makings: Makings) -> AutoDriver:
    """What "auto" means here for a machine with a network. Tries nothing."""
    reasons = []
    for driver in _fast(makings):
        info = await driver.info()
        why = why_not(info) or await _lacks_network(makings, driver)
        found = makings.trials.of_build(driver.name, info.build, _ACCEL)
        if not why and found and all(found):
            why = found[0]
        if not why:
            told = "a machine has come up on it" if found else "the first machine will show whether it works"
            return AutoDriver(driver=driver.name, reason=told, is_tried=bool(found))
        reasons.append(f"{driver.name}: {why}")
    try:
        usual, _ = await makings.drivers.choose("auto")
    except Error as exc:
        return AutoDriver(driver="", reason=exc.message, is_tried=False)
    return AutoDriver(driver=usual.name, reason="; ".join(reasons), is_tried=True)


def why_not(info: DriverInfo) -> str:
    """Why "auto" does not take a driver, as far as that is known without a trial."""
    no_kvm = "" if _ACCEL in info.accels else cpu.check_kvm().reason or "it does not offer KVM"
    return info.problem or no_kvm or "; ".join(info.lacks_in_words)


def _fast(makings: Makings) -> list[Driver]:
    return [driver for driver in makings.drivers.all() if driver.capabilities.kvm_only]


def _has_network(spec: MachineSpec) -> bool:
    return spec.network != "none" or bool(spec.networks or spec.allow)


async def _lacks_network(makings: Makings, driver: Driver) -> str:
    if UserNat in driver.capabilities.links:
        return ""
    no_taps = await makings.guards.ready()
    return f"this host gives machines no taps: {no_taps}" if no_taps else ""
