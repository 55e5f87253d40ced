"""Which accelerator a machine really gets, and why not a faster one."""

from __future__ import annotations

import dataclasses

from banger.errors import Error
from banger.host import cpu
from banger.machines.parts import Parts
from banger.model.image import Kernel
from banger.model.machine import Machine, MachineSpec
from banger.model.operation import Report
from banger.templates.trials import ALWAYS
from banger.vmm.base import Driver, VmConfig


async def settle_accelerator(
    parts: Parts, spec: MachineSpec, kernel: Kernel, driver: Driver, config: VmConfig, report: Report
) -> tuple[Driver, VmConfig, str]:
    """The driver, `config` with an accelerator that brings this kernel up, tried if it never was, and why it is not a
    faster one; said. Raises `accelerator_unavailable` when another was asked for by name."""
    asked, accel = spec.accel, config.accel
    why = cpu.check_kvm().reason if asked == "auto" and accel == ALWAYS else ""
    if accel != ALWAYS:
        is_new = await parts.trials.known(driver, accel, kernel.digest) is None
        if is_new:
            report("accelerator", f"checking whether {kernel.name} boots with {accel}")
        why = await parts.trials.why_not(driver, config, kernel.digest)
        if why and asked != "auto":
            raise unavailable(accel, why)
        if why:
            why = f"{kernel.name} does not boot with {accel}: {why}"
            driver, accel = await parts.drivers.choose(ALWAYS)
        if why and is_new:
            report("warning", f"machines run in software emulation ({accel}): {why}")
    return driver, dataclasses.replace(config, accel=accel), why


def describe_accelerator(machine: Machine) -> str:
    """The VMM and what it runs on, and why not on something faster."""
    because = f" ({machine.accel_reason})" if machine.accel_reason else ""
    return f"{machine.driver} with {machine.accel}{because}"


def unavailable(accel: str, why: str) -> Error:
    return Error(
        "accelerator_unavailable",
        f"{accel} cannot be used here: {why}",
        "use --accel auto or tcg; accelerators.json in the state directory has the results since this host booted",
    )
