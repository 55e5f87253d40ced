"""What the driver does with versions of Firecracker that are not here, by a stand-in for each."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host import jail
from banger.host.proc import user_of, wait_gone
from banger.vmm.firecracker import driver as driver_module
from banger.vmm.firecracker.api import Api, Refused
from banger.vmm.firecracker.driver import FirecrackerDriver
from banger.vmm.frozen import Frozen
from tests.support.fake_firecracker import INTERPRETER, make_program
from tests.support.rigs import BOOT_S, Rig, open_rig

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
            assert owned == {"root.raw", "written.memory", "written.state"}
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
