"""What a QEMU may write of a file: enough for its disk, however that grows; and what becomes of a guest that is at the
end of it."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator

import pytest

from banger.host.proc import ProcessRef, is_alive
from banger.model.sizes import GIB, MIB
from banger.vmm.qemu import layers, names
from banger.vmm.qemu.file_bound import LONGEST_EVER, longest_file
from banger.vmm.qemu.overlay import MAX_DISK_BYTES
from tests.support.rigs import BOOT_S, Rig, open_rig, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with open_rig("qemu") as rig:
        if problem := asyncio.run(rig.driver.info()).problem:
            pytest.skip(f"capability missing: {problem}")
        try:
            yield rig
        finally:
            asyncio.run(rig.close())


def bound_of(process: ProcessRef) -> tuple[int, int]:
    return resource.prlimit(process.pid, resource.RLIMIT_FSIZE)


def test_the_bound_fits_what_a_disk_and_its_tables_take() -> None:
    for disk_bytes in (MIB, GIB, MAX_DISK_BYTES):
        for memory_bytes in (128 * MIB, 64 * GIB):
            bound = longest_file(disk_bytes, memory_bytes)
            assert bound > disk_bytes + disk_bytes // 1000 + 64 * MIB and bound > memory_bytes + 64 * MIB
    assert LONGEST_EVER >= 2 * MAX_DISK_BYTES


def test_a_guest_whose_disk_may_not_grow_is_told_so_and_lives(rig: Rig) -> None:
    async def work() -> None:
        async with rig.booted("bounded") as (vm, connection):
            assert resource.prlimit(vm.process.pid, resource.RLIMIT_CORE) == (0, 0)
            disk = names.disk(rig.places("bounded").directory)
            size_bytes = layers.read_head(layers.active(disk)).size_bytes
            assert bound_of(vm.process) == (
                longest_file(size_bytes, rig.plain.memory_mib * MIB),
                LONGEST_EVER,
            )
            await vm.grow_disk(4 * size_bytes)
            assert bound_of(vm.process) == (longest_file(4 * size_bytes, 0), LONGEST_EVER)

            told: list[str] = []
            vm.watch_disk(lambda: told.append("full"), told.append)
            near = layers.active(disk).stat().st_size + 4 * MIB
            resource.prlimit(vm.process.pid, resource.RLIMIT_FSIZE, (near, LONGEST_EVER))
            assert (
                await run(connection, "dd", "if=/dev/urandom", "of=/f", "bs=1M", "count=64", "conv=fsync")
            ).code
            async with asyncio.timeout(BOOT_S):
                while not told:
                    await asyncio.sleep(0.01)
            assert set(told) == {"File too large"}
            assert is_alive(vm.process) and await vm.run_state() == "running"
            assert (await run(connection, "true")).code == 0

    asyncio.run(asyncio.wait_for(work(), 4 * BOOT_S))
