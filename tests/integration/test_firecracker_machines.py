"""Machines on the real Firecracker, through the engine: with a guest that is no operating system, so that they run also
where KVM has no help of the processor (tests/guests/firecracker)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.agent.process import Output, list_execs, start_process
from banger.guests import guest
from banger.host import jail
from banger.host.cgroup import Group
from banger.host.proc import all_marked, find_marked, is_alive, kill_and_wait, send_signal, user_of, wait_gone
from banger.host.spawn import MARKER
from banger.machines.ask import pausing
from banger.machines.copies import forks, snapshots
from banger.machines.life import lifecycle
from banger.machines.life.live import LiveMachine
from banger.machines.watch.disk_room import DiskRoom
from banger.model.command import Command
from banger.model.machine import Machine, MachineState
from banger.model.sizes import MIB
from banger.vmm.firecracker import metrics
from banger.vmm.firecracker.api import Api
from banger.vmm.firecracker.driver import KVM, FirecrackerDriver, users_reach
from banger.vmm.firecracker.names import DISK, agent_socket, control_socket
from tests.support.anywhere import PROGRAMS, driver_of
from tests.support.engine import Engine, home_of, open_engine
from tests.support.paths import paths_below
from tests.support.reports import silent
from tests.support.rigs import ROOT, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
_TRIAL_S = 60.0
_IO_ERROR = 1  # of virtio's block devices


@pytest.fixture(scope="module", params=["ours", "jailer"])
def jail_of(request: pytest.FixtureRequest) -> str:
    """Whose jail the VMMs run in."""
    if request.param == "jailer" and os.geteuid() != 0:
        pytest.skip("capability missing: Firecracker's jailer needs root")
    return str(request.param)


@pytest.fixture(scope="module")
def driver(jail_of: str) -> FirecrackerDriver:
    driver = driver_of(jail_of)
    if problem := asyncio.run(driver.try_machine("kvm", _TRIAL_S)):
        pytest.skip(f"capability missing: {problem}")
    return driver


@pytest.fixture(autouse=True)
def as_a_user_that_reaches_kvm(monkeypatch: pytest.MonkeyPatch, jail_of: str) -> None:
    """The jailer makes a device of the user's own."""
    if jail_of == "ours" and not users_reach(KVM):
        monkeypatch.setattr(guest, "choose_user", lambda *_: None)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    paths = home_of(tmp_path / "home")
    kernel = next(paths.kernels.iterdir())
    shutil.copyfile(ROOT / "build/firecracker-guest/freestanding", kernel / "vmlinux")
    (kernel / "modules.ext4").write_bytes(bytes(4096))
    yield tmp_path / "home"
    for process, marker in all_marked(MARKER):  # a test that fails leaves none either
        if any(marker in str(path) for path in paths.machines.glob("*")):
            asyncio.run(kill_and_wait(process))


@contextlib.asynccontextmanager
async def engine_of(
    home: Path, driver: FirecrackerDriver, *, templates: bool = False
) -> AsyncIterator[Engine]:
    async with open_engine(paths_below(home), driver, templates=templates) as engine:
        yield engine


async def remove_all(engine: Engine) -> None:
    """And nothing is left of them."""
    processes = [live.process for live in engine.lives.live.values()]
    await engine.remove_machines()
    async with asyncio.timeout(30):
        while await engine.leftovers():
            await asyncio.sleep(0.05)
    assert not any(is_alive(process) for process in processes)
    assert engine.ownerless() == []
    assert not any(engine.paths.machines.glob("*"))


async def labels(live: LiveMachine) -> int:
    assert live.connection is not None
    return len([known for known in await list_execs(live.connection) if known.running])


async def code_of(engine: Engine, machine: Machine, *argv: str) -> int:
    live = engine.lives.of(machine)
    assert live.connection is not None
    return (await run(live.connection, *argv)).code


def state_of(engine: Engine) -> MachineState:
    return engine.registry.find("dev").state


def within(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.mark.parametrize("templates", [False, True], ids=["booted", "cloned from a template"])
def test_a_machine_runs_its_command_stops_and_starts_again(
    home: Path, driver: FirecrackerDriver, jail_of: str, templates: bool
) -> None:
    async def work() -> None:
        async with engine_of(home, driver, templates=templates) as engine:
            machine = await engine.run("dev")
            assert state_of(engine) is MachineState.RUNNING and machine.driver == "firecracker"
            assert machine.accel == "kvm" and machine.root_disk in ("copy", "reflink")
            assert (machine.driver_version, machine.driver_lacks) == ((await driver.info()).version, ())
            assert await code_of(engine, machine, "exit", "42") == 42
            if jail_of == "jailer" or (os.geteuid() == 0 and users_reach(KVM)):
                assert user_of(engine.lives.of(machine).process) not in (0, None)
            await lifecycle.stop(engine.lives, machine, 5)
            assert state_of(engine) is MachineState.STOPPED
            await lifecycle.start(engine.lives, engine.makings, machine, silent)
            assert await code_of(engine, machine, "true") == 0
            await remove_all(engine)

    within(work())


def test_its_vmm_is_in_the_jail(home: Path, driver: FirecrackerDriver, jail_of: str) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            process = engine.lives.of(await engine.run("dev")).process
            told = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            )
            assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2"
            assert int(told["CapPrm"], 16) == int(told["CapAmb"], 16) == 0
            assert jail_of == "jailer" or int(told["CapBnd"], 16) == 0
            held = jail.look().held
            for name in {"net", "pid", "ipc", "uts"} & held:
                assert os.readlink(f"/proc/{process.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
            shown = Path(f"/proc/{process.pid}/root")
            if jail_of == "jailer":
                assert {*os.listdir(shown)} >= {"dev", "firecracker", "root.raw"} and not (
                    shown / "proc"
                ).exists()
            elif "mount" in held:
                for name in {"root", "home", "proc", "sys"} & {*os.listdir(shown)}:
                    assert [name, *os.listdir(shown / name)] == [*PROGRAMS.parts[1:3]], "the way to it"
            await remove_all(engine)

    within(work())


def test_a_machine_pauses_and_goes_on(home: Path, driver: FirecrackerDriver) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            live = engine.lives.of(machine)
            await live.vm.pause()
            assert await live.vm.run_state() == "paused"
            await live.vm.resume()
            assert await code_of(engine, machine, "true") == 0
            await remove_all(engine)

    within(work())


def test_children_go_on_with_what_their_parent_ran_and_so_does_the_parent(
    home: Path, driver: FirecrackerDriver
) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            children = await forks.fork(engine.lives, engine.makings, machine, 3, "child", silent)
            for each in (machine, *children):
                assert await labels(engine.lives.of(each)) == 1
                assert await code_of(engine, each, "true") == 0
            assert machine.state is MachineState.RUNNING
            await remove_all(engine)

    within(work())


def test_twenty_clones_of_a_template_answer(home: Path, driver: FirecrackerDriver) -> None:
    """Each guest polls, so they are paused one after another: the test does not need twenty processors."""

    async def work() -> None:
        async with engine_of(home, driver, templates=True) as engine:
            for number in range(20):
                machine = await engine.run(f"m{number}")
                assert await code_of(engine, machine, "true") == 0
                await engine.lives.of(machine).vm.pause()
            assert len(engine.lives.live) == 20
            await remove_all(engine)

    within(work())


def test_a_snapshot_brings_back_what_ran(home: Path, driver: FirecrackerDriver) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            await snapshots.snapshot(engine.snapshots, engine.lives, engine.makings, machine, "kept", silent)
            before = engine.lives.of(machine).process
            await snapshots.restore(engine.snapshots, engine.lives, engine.makings, "dev", "kept", silent)
            machine = engine.registry.find("dev")
            assert engine.lives.of(machine).process != before
            assert await labels(engine.lives.of(machine)) == 1
            await remove_all(engine)

    within(work())


def test_a_copy_has_another_generation_and_its_original_keeps_its_own(
    home: Path, driver: FirecrackerDriver
) -> None:
    """By the VM generation ID a kernel sees that another machine may have its random numbers, and draws new ones."""

    async def generation(engine: Engine, machine: Machine) -> str:
        connection = engine.lives.of(machine).connection
        assert connection is not None
        process = await start_process(connection, Command(argv=["generation"]))
        said = b"".join([output.data async for output in process.outputs()])
        assert process.exit is not None and process.exit.code == 0
        return said.decode()

    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            before = await generation(engine, machine)
            assert len(bytes.fromhex(before)) == 16 and before.strip("0\n")
            await pausing.pause(engine.lives, machine)
            await pausing.resume(engine.lives, machine)
            children = await forks.fork(engine.lives, engine.makings, machine, 2, "child", silent)
            assert await generation(engine, machine) == before
            found = {await generation(engine, each) for each in children}
            await snapshots.snapshot(engine.snapshots, engine.lives, engine.makings, machine, "kept", silent)
            await snapshots.restore(engine.snapshots, engine.lives, engine.makings, "dev", "kept", silent)
            found.add(await generation(engine, engine.registry.find("dev")))
            assert len(found | {before}) == 4
            await remove_all(engine)

    within(work())


def test_a_machine_that_has_lost_its_agent_is_asked_to_shut_down_by_its_keyboard(
    home: Path, driver: FirecrackerDriver
) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev", "sleep")
            live = engine.lives.of(machine)
            agent_socket(live.places).unlink()
            assert live.connection is not None
            live.connection.close()
            async with asyncio.timeout(60):
                await lifecycle.stop(engine.lives, machine, 5)
            assert machine.state is MachineState.STOPPED
            assert "freestanding: ends" in live.places.console_log.read_text()
            await remove_all(engine)

    within(work())


def test_a_killed_vmm_is_noticed_and_nothing_is_left(home: Path, driver: FirecrackerDriver) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            live = engine.lives.of(machine)
            send_signal(live.process, signal.SIGKILL)
            assert await wait_gone(live.process, 30)
            async with asyncio.timeout(30):
                while machine.id in engine.lives.live:
                    await asyncio.sleep(0.01)
            assert machine.state in (MachineState.STOPPED, MachineState.FAILED)
            await remove_all(engine)

    within(work())


def test_the_next_daemon_takes_over_machines(home: Path, driver: FirecrackerDriver) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            process = engine.lives.of(await engine.run("dev")).process
        async with engine_of(home, driver) as engine:
            await engine.take_over()
            machine = engine.registry.find("dev")
            live = engine.lives.of(machine)
            await live.adopted.wait()
            assert live.process == process and machine.state is MachineState.RUNNING
            assert await code_of(engine, machine, "true") == 0
            assert await labels(live) == 1
            await remove_all(engine)

    within(work())


@contextlib.contextmanager
def doomed(home: Path, jail_of: str, work: str) -> Iterator[subprocess.Popen[str]]:
    """An engine that does that work, from when it says so; gone at the end of the block."""
    argv = [sys.executable, "-m", "tests.support.doomed_engine", str(home), jail_of, work]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)


@pytest.mark.parametrize("work", ["runs", "starts", "copies"])
def test_after_the_sudden_end_of_a_daemon_the_next_has_all_that_runs_and_nothing_is_left(
    home: Path, driver: FirecrackerDriver, jail_of: str, work: str
) -> None:
    paths = paths_below(home)
    signs = {"runs": lambda: True, "starts": lambda: any(paths.machines.glob("*/vmm.log"))}
    with doomed(home, jail_of, work) as process:
        wait_for(process, signs.get(work, lambda: any(paths.snapshots.glob(".fork-*/memory"))))

    async def next_daemon() -> None:
        async with engine_of(home, driver) as engine:
            await engine.take_over()
            machine = engine.registry.find("dev")
            if work != "starts":
                live = engine.lives.of(machine)
                await live.adopted.wait()
                assert machine.state is MachineState.RUNNING
                assert await live.vm.run_state() == "running"
                assert await code_of(engine, machine, "true") == 0
                assert await labels(live) == 1
            await remove_all(engine)
            assert not any(paths.snapshots.glob(".fork-*"))

    within(next_daemon())


def test_after_the_sudden_end_of_daemon_and_vmm_the_machine_is_stopped_and_starts_again(
    home: Path, driver: FirecrackerDriver, jail_of: str
) -> None:
    with doomed(home, jail_of, "runs") as process:
        process.kill()
        process.wait()
        for vmm, marker in all_marked(MARKER):
            if any(marker in str(path) for path in paths_below(home).machines.glob("*")):
                send_signal(vmm, signal.SIGKILL)
                assert asyncio.run(wait_gone(vmm, 30))

    async def next_daemon() -> None:
        async with engine_of(home, driver) as engine:
            await engine.take_over()
            machine = engine.registry.find("dev")
            assert machine.state in (MachineState.STOPPED, MachineState.FAILED)
            assert engine.held("vmm") == []
            await lifecycle.start(engine.lives, engine.makings, machine, silent)
            assert await code_of(engine, machine, "true") == 0
            await remove_all(engine)

    within(next_daemon())


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_clients_stay_attached_while_their_machine_is_copied(
    home: Path, driver: FirecrackerDriver, paused: bool
) -> None:
    """Firecracker ends the session; its commands go on in the next one."""

    async def viewer(output: Output) -> None:
        """Sees nothing: this command is silent."""

    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            live = engine.lives.of(machine)
            attached = await live.start_exec(Command(argv=["sleep"]), viewer)
            if paused:
                await pausing.pause(engine.lives, machine)
            for number in range(2):
                await snapshots.snapshot(
                    engine.snapshots, engine.lives, engine.makings, machine, f"s{number}", silent
                )
            if paused:
                await pausing.resume(engine.lives, machine)
            assert live.main is not None and not live.main.done.done()
            assert not attached.done.done() and live.execs[attached.info.id] is attached
            async with pausing.steady(engine.lives, machine) as same:
                assert same is live
                await attached.process.signal(signal.SIGTERM)
            assert (await attached.ended()).code == 128 + signal.SIGTERM
            await remove_all(engine)

    within(work())


def test_a_command_that_is_asked_for_during_a_copy_waits_for_its_end(
    home: Path, driver: FirecrackerDriver
) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            copying = asyncio.create_task(
                snapshots.snapshot(engine.snapshots, engine.lives, engine.makings, machine, "kept", silent)
            )
            while engine.lives.of(machine).parted is None:
                await asyncio.sleep(0)
            async with pausing.awake(engine.lives, machine) as live:
                running = await live.start_exec(Command(argv=["exit", "3"]), None)
                assert (await running.ended()).code == 3
            await copying
            await remove_all(engine)

    within(work())


def test_what_firecracker_counts_reaches_the_daemon(
    home: Path, driver: FirecrackerDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a clone, and of a machine that was taken over: which has lost its disk's file meanwhile."""
    seen: list[bytes] = []
    failures_of = metrics.failures_of

    def note(line: bytes) -> int:
        seen.append(line)
        return failures_of(line)

    monkeypatch.setattr(metrics, "failures_of", note)

    async def counted(engine: Engine, failures: int) -> None:
        live = engine.lives.of(engine.registry.find("dev"))
        await live.adopted.wait()
        seen.clear()
        api = Api("dev", control_socket(live.places))
        await api.put("/actions", {"action_type": "FlushMetrics"})
        async with asyncio.timeout(30):
            while not seen:
                await asyncio.sleep(0.01)
        assert json.loads(seen[0])["block_root"]["invalid_reqs_count"] == failures
        assert live.machine.disk_failed is bool(failures)

    async def work() -> None:
        async with engine_of(home, driver, templates=True) as engine:
            DiskRoom(engine.lives, 0)
            machine = await engine.run("dev")
            assert await code_of(engine, machine, "read", "0") == 0
            await counted(engine, 0)
        async with engine_of(home, driver) as engine:
            DiskRoom(engine.lives, 0)
            await engine.take_over()
            machine = engine.registry.find("dev")
            await engine.lives.of(machine).adopted.wait()
            os.truncate(engine.lives.of(machine).places.directory / DISK, 0)
            assert await code_of(engine, machine, "read", "8") == _IO_ERROR
            await counted(engine, 1)
            (warning,) = machine.warnings
            assert "1 failed" in warning
            await remove_all(engine)

    within(work())


@pytest.mark.parametrize("templates", [False, True], ids=["booted", "cloned from a template"])
def test_limits_of_host_and_disk_hold(home: Path, driver: FirecrackerDriver, templates: bool) -> None:
    asked = {"memory_limit_bytes": 256 * MIB, "pids_limit": 100, "io_limit_bytes": MIB, "iops_limit": 100}

    async def work() -> None:
        async with engine_of(home, driver, templates=templates) as engine:
            machine = await engine.run("dev", limits="best-effort", **asked)
            live = engine.lives.of(machine)
            (root, *_) = (await Api("dev", control_socket(live.places)).get("/vm/config"))["drives"]
            rate = root["rate_limiter"]
            assert (root["drive_id"], rate["bandwidth"]["size"], rate["ops"]["size"]) == ("root", MIB, 100)
            bounds = Path(f"/proc/{live.process.pid}/limits").read_text()
            (files,) = [
                line.split()[3:5] for line in bounds.splitlines() if line.startswith("Max open files")
            ]
            assert files == ["256", "256"]
            held = [each for each in engine.store.resources.of_machine(machine.id) if each.kind == "cgroup"]
            for group in (Group.of_identity(each.identity) for each in held):
                assert live.process.pid in group.processes()
                assert "memory" not in group.directories or group.memory_limit_bytes() == 256 * MIB
            await remove_all(engine)

    within(work())


def test_a_vmm_whose_record_is_lost_is_found_by_what_it_shows(home: Path, driver: FirecrackerDriver) -> None:
    """Which is not its environment, if its jailer took that away."""

    async def work() -> None:
        async with engine_of(home, driver) as engine:
            machine = await engine.run("dev")
            process = engine.lives.of(machine).process
            (record,) = [each for each in engine.store.resources.all() if each.kind == "vmm"]
            assert find_marked(MARKER, str(record.identity["marker"])) == [process]
            engine.store.resources.clear(record.id)
            assert any(f"process {process.pid} " in left for left in await engine.leftovers())
        async with engine_of(home, driver) as engine:
            await engine.take_over()
            await engine.lives.of(engine.registry.find("dev")).adopted.wait()
            assert engine.held("vmm") == [f"vmm of {machine.id}"]
            assert await code_of(engine, engine.registry.find("dev"), "true") == 0
            await remove_all(engine)

    within(work())
