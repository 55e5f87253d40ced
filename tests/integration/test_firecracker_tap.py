"""A program that knows taps by name only gets that of the keeper, in another network namespace: any program, and the
real Firecracker, that boots and that is restored."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.host import jail
from banger.host.jail import Jail
from banger.host.proc import ProcessRef, is_alive, wait_gone
from banger.host.spawn import spawn_detached
from banger.vmm.link import Tap
from tests.support.rigs import BOOT_S, Rig, open_rig
from tests.support.running_keeper import TUN, CannotStart, RunningKeeper

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not os.access(TUN, os.R_OK | os.W_OK), reason=f"capability missing: {TUN}"),
]
MAC = "02:00:00:00:00:01"
# Opens the device and asks for a tap, twice; says what it got.
PROBE = """
import fcntl, json, os, struct
TUNSETIFF, TUNGETIFF = 0x400454CA, 0x800454D2
said, opened = [], []
for _ in range(2):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    opened.append(os.fstat(fd).st_rdev == os.stat("/dev/null").st_rdev)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"any", 0x5002))
        said.append(fcntl.ioctl(fd, TUNGETIFF, bytes(40))[:16].rstrip(b"\\0").decode())
    except OSError as exc:
        said.append(exc.errno)
print(json.dumps([*said, opened]))
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[RunningKeeper]:
    try:
        with RunningKeeper(tmp_path) as keeper:
            yield keeper
    except CannotStart as exc:
        pytest.skip(f"capability missing: {exc}")


@pytest.fixture(scope="module", params=["firecracker", "firecracker in its jailer"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with open_rig(request.param) as rig:
        if rig.problem:
            pytest.skip(f"capability missing: {rig.problem}")
        try:
            yield rig
        finally:
            asyncio.run(rig.close())


def taps_of(process: ProcessRef) -> list[str]:
    """Names of the taps that a process has open."""
    found = []
    for path in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a connection that ended meanwhile
            found += [line.split()[1] for line in path.read_text().splitlines() if line.startswith("iff:")]
    return found


def test_the_first_request_for_a_tap_is_answered_and_no_other(keeper: RunningKeeper, tmp_path: Path) -> None:
    if not {"mount", "net"} <= jail.look().held:
        pytest.skip(f"capability missing: {dict(jail.look().missing)}")
    name, (descriptor,) = keeper.ask("tap probe")
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    try:
        process = spawn_detached(
            [sys.executable, "-I", "-S", str(probe)],
            marker="probe",
            output=tmp_path / "said",
            cwd=tmp_path,
            jail=Jail(read=(Path(sys.base_prefix), tmp_path), tap=descriptor),
        )
    finally:
        os.close(descriptor)
    assert asyncio.run(wait_gone(process, 30))
    got, refused, opened_null = json.loads((tmp_path / "said").read_text())
    assert got == name
    assert isinstance(refused, int) and refused != 0
    assert opened_null == [True, True], "no driver of taps is in the jail"


def test_firecracker_has_the_tap_of_its_link_when_it_boots_and_when_it_is_restored(
    rig: Rig, keeper: RunningKeeper
) -> None:
    async def with_tap(key: str, frozen: bool) -> None:
        name, (descriptor,) = keeper.ask(f"tap {key}")
        config = dataclasses.replace(
            rig.config(key, rig.frozen if frozen else None), link=Tap(MAC, descriptor)
        )
        await rig.driver.prepare(config)
        vm = rig.start(config)
        os.close(descriptor)
        await vm.connect_control(BOOT_S)
        if frozen:
            await vm.restore()
            await vm.resume()
        (await vm.open_agent()).close()
        assert taps_of(vm.process) == [name]
        if not frozen:
            rig.frozen.directory.mkdir()
            await vm.capture(rig.frozen)
            await vm.freeze_disk(rig.frozen.directory)
        await vm.quit()
        assert await wait_gone(vm.process, BOOT_S) and not is_alive(vm.process)

    async def work() -> None:
        await with_tap("original", frozen=False)
        await with_tap("clone", frozen=True)

    asyncio.run(work())


def test_without_its_tap_it_says_so(rig: Rig) -> None:
    """Firecracker asks, and gets no answer but that of the kernel."""

    async def work() -> None:
        config = dataclasses.replace(rig.config("none"), link=Tap(MAC, os.open("/dev/null", os.O_RDWR)))
        await rig.driver.prepare(config)
        vm = rig.start(config)
        assert await wait_gone(vm.process, BOOT_S)
        said = config.places.vmm_log.read_text() + config.places.console_log.read_text()
        assert "network" in said.lower()

    asyncio.run(work())
