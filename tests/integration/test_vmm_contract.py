"""The contract of a VMM driver (banger.vmm.base), for each driver that there is. One that this host lacks is skipped,
and says what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.agent.connection import AgentConnection, open_connection
from banger.agent.parted import Parted
from banger.agent.process import GuestProcess, list_execs, start_process
from banger.errors import Error
from banger.guests.links import another_link
from banger.host.proc import is_alive, send_signal, wait_gone
from banger.host.sparse import copy_file
from banger.machines.life.sessions import UNNOTICED_S
from banger.model.command import Command
from banger.templates.frozen import check_files, sum_files
from banger.vmm.base import Vm
from banger.vmm.ending import EndKind
from banger.vmm.frozen import Frozen
from banger.wire.constants import Tag, Type
from tests.support.rigs import BOOT_S, RIGS, Rig, open_rig, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=RIGS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """With a frozen machine, in which a command runs."""
    with open_rig(request.param) as rig:
        if problem := rig.problem or asyncio.run(rig.driver.info()).problem:
            pytest.skip(f"capability missing: {problem}")
        try:
            asyncio.run(rig.freeze("original"))
            yield rig
        finally:
            asyncio.run(rig.close())


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a machine of this test's own."""
    return f"m{abs(hash(request.node.nodeid)) % 10**8}"


def within(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(4 * BOOT_S):
            await work

    asyncio.run(bounded())


async def answers(connection: AgentConnection) -> bool:
    try:
        await connection.request(Type.PING, timeout_s=0.5)
    except Error as exc:
        assert exc.code == "agent_silent"
        return False
    return True


async def gone(vm: Vm) -> None:
    assert await wait_gone(vm.process, BOOT_S), "its process goes on"


def test_a_machine_boots_and_does_what_it_is_told(rig: Rig, name: str) -> None:
    async def work() -> None:
        async with rig.booted(name) as (vm, connection):
            assert is_alive(vm.process)
            assert await vm.run_state() == "running"
            assert (await run(connection, "true")).code == 0
            assert vm.end().kind is EndKind.UNKNOWN
            assert rig.driver.disks.have(rig.places(name).directory)

    within(work())


def test_a_clone_goes_on_with_what_ran_in_the_original(rig: Rig, name: str) -> None:
    async def work() -> None:
        async with rig.cloned(name) as (vm, connection):
            (known,) = await list_execs(connection)
            assert known.label == "sleeper" and known.running
            assert (await run(connection, "true")).code == 0
            assert await vm.run_state() == "running"

    within(work())


def test_a_clone_waits_until_it_is_resumed(rig: Rig, name: str) -> None:
    async def work() -> None:
        config = rig.config(name, rig.frozen)
        await rig.driver.prepare(config)
        vm = rig.start(config)
        try:
            await vm.connect_control(BOOT_S)
            await vm.restore()
            assert await vm.run_state() == "paused"
        finally:
            await vm.close()

    within(work())


def test_clones_share_what_is_frozen_and_change_nothing_of_it(rig: Rig, name: str) -> None:
    async def work() -> None:
        sums = sum_files(rig.frozen.directory, rig.driver.frozen.parts(rig.frozen))
        async with rig.cloned(f"{name}a") as (_, one), rig.cloned(f"{name}b") as (_, other):
            assert (await run(one, "true")).code == (await run(other, "true")).code == 0
        check_files(rig.frozen.directory, sums)

    within(work())


def test_a_clone_outlives_what_it_was_cloned_from(rig: Rig, name: str) -> None:
    async def work() -> None:
        original = Frozen(rig.directory / f"{name}-frozen")
        copy_of(rig.frozen, original)
        async with rig.cloned(name, original) as (vm, connection):
            shutil.rmtree(original.directory)
            assert (await run(connection, "true")).code == 0
            await vm.pause()
            await vm.resume()
            assert (await run(connection, "true")).code == 0

    within(work())


def copy_of(frozen: Frozen, target: Frozen) -> None:
    target.directory.mkdir()
    for path in frozen.directory.iterdir():
        if path.is_symlink():
            os.symlink(os.readlink(path), target.directory / path.name)
        else:
            copy_file(path, target.directory / path.name)


def test_a_paused_machine_says_nothing_and_goes_on(rig: Rig, name: str) -> None:
    async def work() -> None:
        async with rig.cloned(name) as (vm, connection):
            await vm.pause()
            assert await vm.run_state() == "paused"
            assert not await answers(connection)
            await vm.resume()
            assert (await run(connection, "true")).code == 0
            assert await vm.run_state() == "running"

    within(work())


def test_a_machine_is_taken_over_by_who_knows_its_process_and_places(rig: Rig, name: str) -> None:
    async def work() -> None:
        async with rig.cloned(name) as (vm, connection):
            connection.close()
            await vm.close()
            again = rig.driver.reattach(rig.places(name), vm.process)
            await again.connect_control(BOOT_S)
            session = await open_connection(again.open_agent, name, BOOT_S, resync=True)
            try:
                assert await again.run_state() == "running"
                assert [known.label for known in await list_execs(session)] == ["sleeper"]
            finally:
                session.close()
                await again.close()

    within(work())


def test_commands_go_on_in_the_next_session_without_a_byte_lost(rig: Rig, name: str) -> None:
    """As often as sessions end, and in the midst of what commands say and hear."""
    if not rig.has_linux:
        pytest.skip("capability missing: Linux, whose commands have much to say")
    counted = "".join(f"{number}\n" for number in range(1, 200_001)).encode()
    heard = os.urandom(1 << 20)

    async def read_all(process: GuestProcess) -> bytes:
        return b"".join([output.data async for output in process.outputs()])

    async def write_all(process: GuestProcess) -> None:
        await process.write(heard)
        process.close_stdin()

    async def work() -> None:
        async with rig.cloned(name) as (vm, connection):
            counting = await start_process(connection, Command(argv=["seq", "1", "200000"]))
            echoing = await start_process(connection, Command(argv=["cat"], stdin=True))
            reading = [asyncio.create_task(read_all(process)) for process in (counting, echoing)]
            writing = asyncio.create_task(write_all(echoing))
            for part in range(1, 4):
                while min(counting.received[0], echoing.received[0]) < part << 18:
                    await asyncio.sleep(0)
                parted = Parted(connection, Error("agent_lost", "the session ended"))
                await asyncio.sleep(UNNOTICED_S)
                connection = await open_connection(vm.open_agent, name, BOOT_S, resync=True)
                rest = await parted.go_on(connection, await list_execs(connection), BOOT_S)
                assert [known.label for known in rest] == ["sleeper"]
            await writing
            assert await asyncio.gather(*reading) == [counted, heard]
            connection.close()

    within(work())


def test_a_machine_is_frozen_in_passing_and_goes_on(rig: Rig, name: str) -> None:
    async def work() -> None:
        frozen = Frozen(rig.directory / f"{name}-frozen")
        frozen.directory.mkdir()
        async with rig.cloned(f"{name}a") as (vm, connection):
            await vm.capture(frozen)
            await vm.freeze_disk(frozen.directory)
            assert await vm.run_state() == "paused"
            await vm.resume()
            async with rig.session_after_capture(vm, connection) as session:
                assert (await run(session, "true")).code == 0
            async with rig.cloned(f"{name}b", frozen) as (_, child):
                assert [known.label for known in await list_execs(child)][:1] == ["sleeper"]

    within(work())


def test_what_is_frozen_travels_in_its_members_alone(rig: Rig, name: str) -> None:
    async def work() -> None:
        files, packed = rig.driver.frozen, Frozen(rig.directory / f"{name}-packed")
        packed.directory.mkdir()
        assert set(files.state_parts()) <= set(files.parts(rig.frozen))
        await files.pack(rig.frozen, packed.directory)
        assert sorted(path.name for path in packed.directory.iterdir()) == sorted(files.members)
        for member in files.members:
            files.check_member(packed.directory / member, 1 << 40)
        async with rig.cloned(name, packed) as (_, connection):
            assert (await run(connection, "true")).code == 0

    within(work())


def test_a_disk_in_a_bundle_is_no_larger_than_may_be(rig: Rig, name: str) -> None:
    async def work() -> None:
        packed = rig.directory / f"{name}-packed"
        packed.mkdir()
        await rig.driver.frozen.pack(rig.frozen, packed)
        with pytest.raises(Error) as caught:
            for member in rig.driver.frozen.members:
                rig.driver.frozen.check_member(packed / member, 512)
        assert caught.value.code == "snapshot_invalid"

    within(work())


def test_a_disk_is_flattened_discarded_and_replaced(rig: Rig, name: str) -> None:
    async def work() -> None:
        disks, directory = rig.driver.disks, rig.places(name).directory
        assert not disks.have(directory)
        disks.discard(directory)
        await rig.driver.prepare(rig.config(name))
        assert disks.have(directory) and disks.usage_bytes(directory) >= 0
        await disks.sync(directory)
        await disks.replace(directory, rig.frozen)
        await disks.tidy(directory)
        raw = rig.directory / f"{name}.raw"
        await disks.flatten(directory, raw)
        assert raw.stat().st_size >= rig.plain.disk_bytes
        disks.discard(directory)
        assert not disks.have(directory)

    within(work())


def test_a_machine_keeps_its_disk_from_start_to_start(rig: Rig, name: str) -> None:
    async def work() -> None:
        await rig.driver.prepare(rig.config(name, rig.frozen))
        before = listing(rig.places(name).directory)
        await rig.driver.prepare(rig.config(name))
        rig.driver.forget_frozen(rig.places(name))
        after = listing(rig.places(name).directory)
        assert after and after.items() <= before.items()

    within(work())


def listing(directory: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_ino for path in directory.iterdir()}


@pytest.mark.parametrize("how", ["quit", "terminate", "killed", "powered off", "asked"])
def test_a_machine_ends_and_its_vmm_says_why(rig: Rig, name: str, how: str) -> None:
    async def work() -> None:
        async with rig.cloned(name) as (vm, connection):
            if how == "quit":
                await vm.quit()
            elif how == "terminate":
                vm.terminate()
            elif how == "killed":
                send_signal(vm.process, signal.SIGKILL)
            elif how == "asked":
                if not await vm.ask_guest_to_end():
                    assert rig.driver.name == "qemu"
                    return
            else:
                with contextlib.suppress(Error):
                    await connection.request(Type.SHUTDOWN, [(Tag.MODE, "poweroff"), (Tag.GRACE_MS, 100)], 3)
            await gone(vm)
            await asyncio.sleep(0.05)  # what it said last is read
            expected = {
                "terminate": EndKind.SIGNALLED,
                "powered off": EndKind.POWERED_OFF,
                "asked": EndKind.POWERED_OFF,
            }
            if how != "quit":
                assert vm.end().kind is expected.get(how, EndKind.UNKNOWN)

    within(work())


def test_who_talks_to_a_vmm_that_is_gone_is_told_so(rig: Rig, name: str) -> None:
    async def work() -> None:
        async with rig.cloned(name) as (vm, _):
            send_signal(vm.process, signal.SIGKILL)
            await gone(vm)
            for ask in (vm.pause, vm.resume, vm.run_state, vm.quit):
                with pytest.raises(Error) as caught:
                    await ask()
                assert caught.value.code == "vmm_failed"
            with pytest.raises(OSError):
                (await vm.open_agent()).close()
            vm.terminate()
            other = rig.driver.reattach(rig.places(name), vm.process)
            with pytest.raises(Error) as caught:
                await other.connect_control(1)
            assert caught.value.code == "vmm_failed"
            await other.close()

    within(work())


def test_what_is_no_frozen_machine_is_no_start(rig: Rig, name: str) -> None:
    async def work() -> None:
        empty = Frozen(rig.directory / f"{name}-empty")
        empty.directory.mkdir()
        with pytest.raises((Error, OSError)):
            config = rig.config(name, empty)
            await rig.driver.prepare(config)
            rig.start(config)

    within(work())


def test_a_build_is_of_what_a_frozen_machine_depends_on(rig: Rig, name: str) -> None:
    async def work() -> None:
        build, config = rig.driver.build_of, rig.config(name)
        another = dataclasses.replace(
            rig.config(f"{name}-other"), link=another_link(config.link), disk_bytes=config.disk_bytes * 2
        )
        assert await build(config) == await build(another)
        assert await build(config) != await build(dataclasses.replace(config, cpus=2))

    within(work())


def test_a_vm_needs_at_least_what_its_guest_has(rig: Rig) -> None:
    needs = rig.driver.needs(rig.plain)
    assert needs.memory_bytes >= rig.plain.memory_mib << 20
    assert needs.cpus >= rig.plain.cpus and needs.pids > rig.plain.cpus
