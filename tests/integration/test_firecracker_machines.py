"""Machines on the real Firecracker, through the engine: with a guest that is no operating system, so that they run also
where KVM has no help of the processor (tests/guests/firecracker)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.agent.process import list_execs
from banger.guests import guest
from banger.host import jail
from banger.host.proc import all_marked, is_alive, kill_and_wait, send_signal, user_of, wait_gone
from banger.host.spawn import MARKER
from banger.machines.copies import forks, snapshots
from banger.machines.life import lifecycle
from banger.machines.life.live import LiveMachine
from banger.model.machine import Machine, MachineState
from banger.vmm.base import DriverInfo
from banger.vmm.firecracker.driver import KVM, FirecrackerDriver, users_reach
from tests.support.engine import Engine, home_of, open_engine
from tests.support.paths import paths_below
from tests.support.reports import silent
from tests.support.rigs import ROOT, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
_TRIAL_S = 60.0


class Anywhere(FirecrackerDriver):
    """Offers KVM also where the processor does not help it: this guest does without."""

    async def info(self) -> DriverInfo:
        return (await super().info())._replace(accels=("kvm",))


@pytest.fixture(scope="module")
def driver() -> FirecrackerDriver:
    driver = Anywhere(str(ROOT / "build/firecracker/firecracker"))
    if problem := asyncio.run(driver.try_machine("kvm", _TRIAL_S)):
        pytest.skip(f"capability missing: {problem}")
    return driver


@pytest.fixture(autouse=True)
def as_a_user_that_reaches_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    if not users_reach(KVM):
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
    home: Path, driver: FirecrackerDriver, templates: bool
) -> None:
    async def work() -> None:
        async with engine_of(home, driver, templates=templates) as engine:
            machine = await engine.run("dev")
            assert state_of(engine) is MachineState.RUNNING and machine.driver == "firecracker"
            assert machine.accel == "kvm"
            assert await code_of(engine, machine, "exit", "42") == 42
            if os.geteuid() == 0 and users_reach(KVM):
                assert user_of(engine.lives.of(machine).process) not in (0, None)
            await lifecycle.stop(engine.lives, machine, 5)
            assert state_of(engine) is MachineState.STOPPED
            await lifecycle.start(engine.lives, engine.makings, machine, silent)
            assert await code_of(engine, machine, "true") == 0
            await remove_all(engine)

    within(work())


def test_its_vmm_is_in_the_jail(home: Path, driver: FirecrackerDriver) -> None:
    async def work() -> None:
        async with engine_of(home, driver) as engine:
            process = engine.lives.of(await engine.run("dev")).process
            told = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            )
            assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2"
            assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0
            held = jail.look().held
            for name in {"net", "pid", "ipc", "uts"} & held:
                assert os.readlink(f"/proc/{process.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
            if "mount" in held:
                assert not {"root", "home", "proc", "sys"} & {*os.listdir(f"/proc/{process.pid}/root")}
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
