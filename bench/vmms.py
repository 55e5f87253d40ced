"""Firecracker and QEMU behind the same contract, without an engine: how long until a guest's agent answers.

Where the processor does not help KVM, Firecracker runs a guest that is no operating system (tests/guests/firecracker),
and QEMU runs Linux in software emulation. Then only restores compare: the guest does next to nothing in them. Elsewhere
both run the same Linux. In its own jailer, Firecracker runs the guest that is no operating system on every host.
"""

from __future__ import annotations

import asyncio
import time

from banger.host import cpu
from banger.host.proc import kill_and_wait, usage
from banger.model.sizes import MIB
from bench.noise import Sample
from bench.table import Row
from tests.support.rigs import BOOT_S, Rig, open_rig

_BOOTS = 5


def measure(count: int = 20) -> list[Row]:
    firecracker = "firecracker with Linux" if cpu.check_kvm().usable else "firecracker"
    rows: list[Row] = []
    for name in (firecracker, "firecracker in its jailer", "qemu"):
        with open_rig(name) as rig:
            if not (rig.problem or asyncio.run(rig.driver.info()).problem):
                rows += asyncio.run(_measure(rig, name, count))
    return rows


async def _measure(rig: Rig, name: str, count: int) -> list[Row]:
    rows = []
    try:
        booted = [await _boot_ms(rig, f"b{number}") for number in range(_BOOTS)]
        rows.append(Row(f"{name}: start of the VMM to the agent's answer, a boot", "ms", _sample(booted)))
        await rig.freeze("original")
        if name != "qemu":  # whose control socket is there before it starts
            answers = [await _control_ms(rig, f"a{number}") for number in range(count)]
            rows.append(Row(f"{name}: start of the VMM to its first answer", "ms", _sample(answers)))
        begun = time.perf_counter()
        taken = [await _clone(rig, f"c{number}") for number in range(count)]
        rate = count / (time.perf_counter() - begun)
        clones_ms, memory = zip(*taken, strict=True)
        rows += [
            Row(f"{name}: the same, a restore, with its files", "ms", _sample(list(clones_ms))),
            Row(f"{name}: clones a second, one after another", "/s", _sample([rate])),
            Row(f"{name}: proportional memory of a clone that does nothing", "MB", _sample(list(memory))),
        ]
    finally:
        await rig.close()
    return rows


def _sample(values: list[float]) -> Sample:
    return Sample(tuple(values))


async def _boot_ms(rig: Rig, name: str) -> float:
    begun = time.perf_counter()
    async with rig.booted(name):
        return (time.perf_counter() - begun) * 1000


async def _control_ms(rig: Rig, name: str) -> float:
    config = rig.config(name, rig.frozen)
    await rig.driver.prepare(config)
    begun = time.perf_counter()
    vm = rig.start(config)
    await vm.connect_control(BOOT_S)
    taken_ms = (time.perf_counter() - begun) * 1000
    await kill_and_wait(vm.process)
    return taken_ms


async def _clone(rig: Rig, name: str) -> tuple[float, float]:
    """Milliseconds, and megabytes of proportional memory."""
    begun = time.perf_counter()
    async with rig.cloned(name) as (vm, _):
        taken_ms = (time.perf_counter() - begun) * 1000
        await vm.pause()
        used = usage(vm.process)
        return taken_ms, used.pss_bytes / MIB if used else 0
