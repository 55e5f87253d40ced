"""What the driver does with versions of Firecracker that are not here, by a stand-in for each."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from pathlib import Path

import pytest

from banger.agent.process import Output
from banger.errors import Error
from banger.guests import guest
from banger.host import jail
from banger.host.proc import user_of, wait_gone
from banger.machines.ask import pausing
from banger.machines.watch.disk_room import DiskRoom
from banger.model.command import Command
from banger.vmm.firecracker import driver as driver_module
from banger.vmm.firecracker import probe
from banger.vmm.firecracker import vm as vm_module
from banger.vmm.firecracker.api import Api, Refused
from banger.vmm.firecracker.driver import FirecrackerDriver
from banger.vmm.firecracker.names import control_socket
from banger.vmm.frozen import Frozen
from tests.support.anywhere import Anywhere
from tests.support.engine import home_of, open_engine
from tests.support.fake_firecracker import INTERPRETER, make_program
from tests.support.paths import paths_below
from tests.support.rigs import BOOT_S, ROOT, Rig, open_rig
from tests.support.vm_configs import vm_config

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not INTERPRETER.exists(), reason=f"capability missing: {INTERPRETER}"),
]
STAND_IN = "stand-in for a newer firecracker"


def of_version(rig: Rig, version: str) -> FirecrackerDriver:
    return FirecrackerDriver(str(make_program(rig.directory, version)))


@pytest.mark.parametrize(("version", "restores"), [("1.8.0", False), ("1.16.0", False), ("1.16.1", True)])
def test_a_version_that_cannot_restore_boots_and_refuses_clones_by_name(version: str, restores: bool) -> None:
    async def work(rig: Rig) -> None:
        rig.driver = of_version(rig, version)
        await rig.freeze("original")
        assert bool(await rig.driver.lacks()) is not restores
        if restores:
            async with rig.cloned("clone"):
                return
        with pytest.raises(Error) as caught:
            await rig.driver.prepare(rig.config("clone", rig.frozen))
        assert caught.value.code == "unsupported" and version in caught.value.message

    with open_rig(STAND_IN) as rig:
        try:
            asyncio.run(work(rig))
        finally:
            asyncio.run(rig.close())


@pytest.mark.parametrize(
    ("without", "lost", "restores"),
    [
        ("PUT /snapshot/load", "no templates", False),
        ("PUT /snapshot/load mem_backend", "no templates", False),
        ("PUT /snapshot/create", "no templates", False),
        ("PATCH /vm", "no pause", False),
        ("PATCH /drives/root rate_limiter", "no limits of disks", True),
        ("PATCH /drives/root path_on_host", "no disks that grow", True),
    ],
)
def test_what_a_build_refuses_by_name_it_lacks_whatever_its_number(
    tmp_path: Path, without: str, lost: str, restores: bool
) -> None:
    driver = FirecrackerDriver(str(make_program(tmp_path, "1.99.0", [without])))
    (lack,) = asyncio.run(driver.lacks())
    request = without.split()[1]
    assert lost in lack.words and request in lack.words and not lack.is_fatal
    info = asyncio.run(driver.info())
    assert info.lacks == (lack,) and not info.problem
    config = vm_config(tmp_path, frozen=Frozen(tmp_path / "frozen"))
    with pytest.raises(Error) as caught:
        asyncio.run(driver.prepare(config))
    assert (caught.value.code == "unsupported" and request in caught.value.message) is not restores


def test_the_real_firecracker_and_a_newer_one_know_all_that_is_asked_of_them(tmp_path: Path) -> None:
    real = ROOT / "build/firecracker/firecracker"
    for program in [make_program(tmp_path, "1.17.0"), *([real] if real.exists() else [])]:
        assert asyncio.run(probe.find_unknown(str(program))) == []
        assert asyncio.run(FirecrackerDriver(str(program)).info()).lacks == ()


def test_a_program_that_does_not_answer_is_judged_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_PROBE_S", 0.2)
    program = tmp_path / "firecracker"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Firecracker v1.12.1" || sleep 60\n')
    program.chmod(0o755)
    info = asyncio.run(FirecrackerDriver(str(program)).info())
    assert info.version == "1.12.1" and not info.lacks


def test_a_version_that_hears_nothing_after_a_pause_is_mended_by_a_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients notice nothing, and nothing of the capture is left."""
    monkeypatch.setattr(guest, "choose_user", lambda *_: None)
    monkeypatch.setattr(vm_module, "_DEAF_S", 0.2)
    home_of(tmp_path / "home")

    async def viewer(output: Output) -> None:
        """Sees nothing: this command is silent."""

    async def work() -> None:
        driver = Anywhere(str(make_program(tmp_path, "1.16.1")))
        async with open_engine(paths_below(tmp_path / "home"), driver) as engine:
            machine = await engine.run("dev")
            live = engine.lives.of(machine)
            attached = await live.start_exec(Command(argv=["sleep"]), viewer)
            for _ in range(2):
                await pausing.pause(engine.lives, machine)
                await pausing.resume(engine.lives, machine)
            assert not attached.done.done()
            async with pausing.steady(engine.lives, machine):
                await attached.process.signal(signal.SIGTERM)
            assert (await attached.ended()).code == 128 + signal.SIGTERM
            assert {path.stat().st_size for path in live.places.directory.glob("written.*")} == {0}
            await engine.remove_machines()

    asyncio.run(work())


def test_a_failed_access_to_the_disk_is_known_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From what Firecracker counts."""
    monkeypatch.setattr(guest, "choose_user", lambda *_: None)
    home_of(tmp_path / "home")

    async def work() -> None:
        driver = Anywhere(str(make_program(tmp_path, "1.16.1")))
        async with open_engine(paths_below(tmp_path / "home"), driver) as engine:
            DiskRoom(engine.lives, 0)
            live = engine.lives.of(await engine.run("dev"))
            api = Api("dev", control_socket(live.places))
            for fails in (False, True):
                with contextlib.suppress(Refused):
                    await api.patch("/drives/root", {"path_on_host": "gone" if fails else "root.raw"})
                await api.put("/actions", {"action_type": "FlushMetrics"})
                async with asyncio.timeout(30):
                    while fails and not live.machine.disk_failed:
                        await asyncio.sleep(0.01)
            (warning,) = live.machine.warnings
            assert "1 failed" in warning
            await engine.remove_machines()

    asyncio.run(work())


def test_a_version_that_stays_deaf_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_module, "_DEAF_S", 0.2)

    async def work(rig: Rig) -> None:
        rig.driver = FirecrackerDriver(str(make_program(tmp_path, "1.16.1", ["the end of deafness"])))
        async with rig.booted("dev") as (vm, _):
            await vm.pause()
            with pytest.raises(Error) as caught:
                await vm.resume()
            assert caught.value.code == "vmm_failed" and "banger vm restart dev" in caught.value.hint

    with open_rig(STAND_IN) as rig:
        try:
            asyncio.run(work(rig))
        finally:
            asyncio.run(rig.close())


def test_a_version_without_what_machines_need_is_no_driver(tmp_path: Path) -> None:
    driver = FirecrackerDriver(str(make_program(tmp_path, "1.7.0")))
    info = asyncio.run(driver.info())
    assert "1.7.0 is older" in info.problem
    assert [lack.is_fatal for lack in asyncio.run(driver.lacks())] == [True]


def test_a_program_of_that_name_that_is_no_firecracker_is_no_driver(tmp_path: Path) -> None:
    program = tmp_path / "firecracker"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    assert "does not print its version" in asyncio.run(FirecrackerDriver(str(program)).info()).problem


def test_what_a_version_refuses_is_told_in_its_own_words() -> None:
    async def work(rig: Rig) -> None:
        async with rig.booted("dev"):
            api = Api("dev", rig.places("dev").run_directory / "vmm/api.sock")
            for path, body, words in (
                ("/snapshot/load", {"snapshot_path": "x", "nonsense": 1}, "unknown field `nonsense`"),
                ("/snapshot/load", {"snapshot_path": "x"}, "not allowed after configuring"),
                ("/snapshot/create", {"snapshot_path": "x"}, "not paused"),
                ("/nowhere", {}, "Invalid request method"),
            ):
                with pytest.raises(Refused) as caught:
                    await api.put(path, body)
                assert words in caught.value.words and caught.value.code == "vmm_failed"

    with open_rig(STAND_IN) as rig:
        try:
            asyncio.run(work(rig))
        finally:
            asyncio.run(rig.close())


@pytest.mark.skipif(os.geteuid() != 0, reason="capability missing: root, to run VMMs as other users")
def test_a_vmm_runs_as_a_user_of_its_own_who_makes_nothing_in_the_directory_of_its_vm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stand-in needs no KVM, so it runs also where no other user can open that."""
    if "mount" not in jail.look().held:
        pytest.skip(f"capability missing: {dict(jail.look().missing)}")
    monkeypatch.setattr(driver_module, "KVM", Path("/dev/null"))
    user = 0x7000_0123

    async def work(rig: Rig) -> None:
        rig.plain = dataclasses.replace(rig.plain, user=user)
        await rig.freeze("original")
        rig.plain = dataclasses.replace(rig.plain, user=user + 1)
        async with rig.cloned("clone") as (vm, _):
            assert user_of(vm.process) == user + 1
            directory = rig.places("clone").directory
            assert directory.stat().st_uid == 0 and not directory.stat().st_mode & 0o022
            owned = {path.name for path in directory.iterdir() if path.lstat().st_uid == user + 1}
            assert owned == {"metrics", "root.raw", "written.memory", "written.state"}
            assert {path.stat().st_uid for path in rig.frozen.directory.iterdir()} == {0}
        async with rig.booted("template") as (vm, _):
            directory = rig.places("template").directory
            await vm.capture(Frozen(directory))
            frozen = {path.name for path in directory.iterdir()} - {"console.log", "vmm.log"}
            assert frozen == {"memory", "state", "root.raw"}
            assert {path.stat().st_uid for path in directory.iterdir()} == {0}

    with open_rig(STAND_IN) as rig:
        try:
            asyncio.run(work(rig))
        finally:
            asyncio.run(rig.close())


def test_a_kernel_that_is_none_ends_it_and_the_reason_is_in_its_log() -> None:
    async def work(rig: Rig) -> None:
        config = dataclasses.replace(rig.config("dev"), vmlinux=rig.directory / "modules")
        await rig.driver.prepare(config)
        vm = rig.start(config)
        assert await wait_gone(vm.process, BOOT_S)
        assert config.places.vmm_log.read_text().startswith("Error: ")
        assert vm.end().said == "exit code 1"

    with open_rig("firecracker") as rig:
        if rig.problem:
            pytest.skip(f"capability missing: {rig.problem}")
        try:
            asyncio.run(work(rig))
        finally:
            asyncio.run(rig.close())
