"""What machines are made from, and whether this host has enough for a machine."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from banger.agent.binary import agent_binary
from banger.errors import Error
from banger.host import cpu
from banger.host.fs import require_free
from banger.host.paths import Paths
from banger.host.thread import in_thread
from banger.images.records.library import ImageLibrary
from banger.kernels.initramfs import ensure_initramfs
from banger.kernels.library import KernelLibrary
from banger.machines.life.limits import asked_limits
from banger.model.image import Image, Kernel
from banger.model.machine import Machine, MachineSpec
from banger.model.operation import Report
from banger.model.settings import Settings
from banger.model.sizes import MIB, format_size
from banger.network.guards import Guards
from banger.templates.library import TemplateLibrary
from banger.templates.pool import Pool
from banger.templates.trials import ALWAYS, Trials
from banger.vmm.base import Driver, VmConfig, VmPlaces
from banger.vmm.drivers import Drivers
from banger.vmm.link import Link


@dataclass(frozen=True)
class Makings:
    """One object of each kind, for as long as the daemon lives."""

    paths: Paths
    settings: Settings
    images: ImageLibrary
    kernels: KernelLibrary
    drivers: Drivers
    templates: TemplateLibrary
    pool: Pool
    trials: Trials
    guards: Guards

    async def make_room(self, memory_mib: int) -> None:
        """Release waiting clones if the machine needs their memory. Raises `insufficient_memory`."""
        reserve_bytes = self.settings.limits.memory_reserve_bytes
        try:
            check_memory(memory_mib, reserve_bytes)
        except Error:
            await self.pool.drain()
            check_memory(memory_mib, reserve_bytes)

    async def require_disk_room(self, machine: Machine) -> None:
        """Check that there is space for the first writes of a VM, whose own disk is empty at first. Raises
        `insufficient_disk`."""
        headroom_bytes = self.settings.limits.disk_reserve_bytes
        await in_thread(require_free, self.paths.machines, headroom_bytes, f"machine {machine.name}")

    def may_freeze(self, driver: Driver) -> bool:
        return self.settings.templates.enabled and driver.capabilities.freezes

    async def config(
        self,
        machine: Machine,
        places: VmPlaces,
        kernel: Kernel,
        driver: Driver,
        accel: str,
        link: Link,
        image: Image | None = None,
    ) -> VmConfig:
        """The configuration of the machine's VM. A machine from a frozen machine needs no `image`: its disk lies above
        an image's disk already."""
        agent = agent_binary(cpu.architecture())
        kernel_directory = self.kernels.directory(kernel)
        initramfs = await in_thread(
            ensure_initramfs, self.paths, kernel_directory, agent, driver.capabilities.agent_by_vsock
        )
        spec = machine.spec
        return VmConfig(
            places=places,
            marker=machine.id,
            vmlinux=self.kernels.vmlinux(kernel),
            modules_disk=self.kernels.modules_disk(kernel),
            initramfs=initramfs,
            image_disk=self.images.disk(image) if image else Path(),
            image_digest=machine.image_digest,
            disk_bytes=max(spec.disk_bytes, image.size_bytes) if image else spec.disk_bytes,
            cpus=spec.cpus,
            memory_mib=spec.memory_mib,
            accel=accel,
            link=link,
            limits=asked_limits(spec),
        )

    async def settle_accelerator(
        self, spec: MachineSpec, named: str, kernel: Kernel, driver: Driver, config: VmConfig, report: Report
    ) -> tuple[Driver, VmConfig, str]:
        """The driver (`named` if that is not empty), `config` with an accelerator that boots this kernel (tried now if
        it never was), and why a faster accelerator is not used; the report says so. Raises `accelerator_unavailable` if
        the user asked for an accelerator by name and it does not work, or for a driver that has no other."""
        accel, asked = config.accel, spec.accel
        why = cpu.check_kvm().reason if asked == "auto" and accel == ALWAYS else ""
        if accel != ALWAYS:
            is_new = await self.trials.known(driver, accel, kernel.digest) is None
            if is_new:
                report("accelerator", f"checking whether {kernel.name} boots with {accel}")
            why = await self.trials.why_not(driver, config, kernel.digest)
            if why and asked != "auto":
                raise unavailable(accel, why)
            if why:
                why = f"{kernel.name} does not boot with {accel}: {why}"
                driver, accel = await self.drivers.choose(ALWAYS, named)
            if why and is_new:
                report("warning", f"machines run in software emulation ({accel}): {why}")
        return driver, dataclasses.replace(config, accel=accel), why


def check_memory(memory_mib: int, reserve_bytes: int) -> None:
    """Refuse a machine for which there is not enough memory. Guests take memory as they use it, so a quarter of it must
    be free now, and all of it must exist; `reserve_bytes` are left for the host. Raises `insufficient_memory`."""
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


def unavailable(accel: str, why: str) -> Error:
    return Error(
        "accelerator_unavailable",
        f"{accel} cannot be used here: {why}",
        "use --accel auto or tcg; accelerators.json in the state directory has the results since this host booted",
    )
