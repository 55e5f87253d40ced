"""Keeper and relay as the daemon has them: started, found again, started again, ended; the real programs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from banger.host.packets import close_all
from banger.host.paths import Paths
from banger.host.spawn import spawn_unconfined
from banger.network.guards import Guards, try_taps
from tests.support.home import alive


@pytest.fixture
def paths() -> Iterator[Paths]:
    with tempfile.TemporaryDirectory(prefix="bg-", dir="/tmp") as directory:
        trial = Path(directory) / "trial"
        trial.mkdir()
        if why := asyncio.run(try_taps(trial)):
            pytest.skip(f"capability missing: taps: {why}")
        places = [Path(directory) / name for name in ("state", "cache", "run", "config")]
        for place in places:
            place.mkdir()
        yield Paths(*places)


@asynccontextmanager
async def guarded(paths: Paths, told: list[str] | None = None) -> AsyncIterator[Guards]:
    def tell(kind: str, target: str, message: str, /, **data: object) -> None:
        if told is not None:
            told.append(kind)

    guards = Guards(paths, tell)
    guards.begin()
    try:
        assert await guards.ready() == ""
        yield guards
    finally:
        await guards.close()


def pids(guards: Guards) -> tuple[int, int]:
    assert guards.keeper.process is not None and guards.relay.process is not None
    return guards.keeper.process.pid, guards.relay.process.pid


async def take_tap(guards: Guards, key: str) -> None:
    descriptors = (await guards.ask_keeper(f"tap {key}")).descriptors
    assert len(descriptors) == 1
    close_all(descriptors)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


def test_both_are_ended_when_no_machine_needs_them_and_found_again_when_one_does(paths: Paths) -> None:
    async def scenario() -> None:
        async with guarded(paths) as guards:
            first = pids(guards)
        assert not any(map(alive, first))
        async with guarded(paths) as guards:
            second = pids(guards)
            await take_tap(guards, "tap-x")
            await guards.ask_keeper("bind tap-x 10.213.0.16 fd62:616e:6765::10")
            await guards.ask_relay("machine vm-x\nbase internet\naddress 10.213.0.16 fd62:616e:6765::10")
        assert all(map(alive, second))
        async with guarded(paths) as guards:
            assert pids(guards) == second
            assert "tap-x" in (await guards.ask_keeper("list")).text
            assert "vm-x" in (await guards.ask_relay("list")).text
            await guards.ask_keeper("free tap-x")
        assert not any(map(alive, second))

    asyncio.run(scenario())


@pytest.mark.parametrize("killed", [(0,), (1,), (0, 1)])
def test_what_is_killed_is_started_again_and_told_all_it_knew(paths: Paths, killed: tuple[int, ...]) -> None:
    """The keeper learns the taps from their interfaces; the relay is told by the daemon."""

    async def scenario() -> None:
        told: list[str] = []
        async with guarded(paths, told) as guards:
            before = pids(guards)

            async def tell_relay() -> None:
                await guards.relay.ask("machine vm-x\nbase internet\naddress 10.213.0.16 fd62:616e:6765::10")

            guards.on_new_relay = tell_relay
            await tell_relay()
            tap = (await guards.ask_keeper("tap tap-x")).descriptors  # as its VMM holds it
            await guards.ask_keeper("bind tap-x 10.213.0.16 fd62:616e:6765::10")
            for which in killed:
                os.kill(before[which], signal.SIGKILL)

            async def both_are_back() -> bool:
                now = (guards.keeper.process, guards.relay.process)
                new = [one is not None and one.pid != before[which] for which, one in enumerate(now)]
                return all(new[which] for which in killed)

            await until(both_are_back)
            assert "tap-x 10.213.0.16" in (await guards.ask_keeper("list")).text
            assert "machine vm-x" in (await guards.ask_relay("list")).text
            assert "network.restarted" in told
            close_all(tap)
            await guards.ask_keeper("free tap-x")

    asyncio.run(scenario())


def holder_of(guards: Guards) -> int:
    assert guards.holder.process is not None
    return guards.holder.process.pid


def test_taps_stay_when_all_programs_are_killed_with_the_daemon(paths: Paths) -> None:
    """The next daemon finds the holder, and the holder of a keeper that ends is ended with it."""

    async def scenario() -> None:
        async with guarded(paths) as guards:
            before, holder = pids(guards), holder_of(guards)
            tap = (await guards.ask_keeper("tap tap-x")).descriptors  # as its VMM holds it
            await guards.ask_keeper("bind tap-x 10.213.0.16 fd62:616e:6765::10")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        async with guarded(paths) as guards:
            assert not set(before) & set(pids(guards)) and holder_of(guards) == holder
            assert "tap-x 10.213.0.16" in (await guards.ask_keeper("list")).text
            close_all(tap)
            await guards.ask_keeper("free tap-x")
        assert not alive(holder)

    asyncio.run(scenario())


def test_a_holder_has_no_rights_and_another_follows_one_that_was_killed(paths: Paths) -> None:
    async def scenario() -> None:
        async with guarded(paths) as guards:
            first = holder_of(guards)
            status = Path(f"/proc/{first}/status").read_text()
            assert "CapEff:\t0000000000000000" in status and "CapPrm:\t0000000000000000" in status
            assert os.readlink(f"/proc/{first}/ns/net") == os.readlink(f"/proc/{pids(guards)[0]}/ns/net")
            os.kill(first, signal.SIGKILL)

            async def is_another() -> bool:
                now = guards.holder.process
                return now is not None and now.pid != first and alive(now.pid)

            await until(is_another)
            second = holder_of(guards)
        assert not alive(second)

    asyncio.run(scenario())


def test_a_holder_that_is_in_the_network_of_the_host_is_none(paths: Paths) -> None:
    """As one is that has just begun, or was refused: no keeper may ever change the host's network."""
    paths.network.mkdir()
    false = spawn_unconfined(
        ["/bin/sleep", "60"], marker="holder", output=paths.network / "log", cwd=paths.network
    )

    async def scenario() -> None:
        async with guarded(paths) as guards:
            assert not alive(false.pid) and holder_of(guards) != false.pid
            here = os.readlink("/proc/self/ns/net")
            assert here not in {
                os.readlink(f"/proc/{pid}/ns/net") for pid in (pids(guards)[0], holder_of(guards))
            }

    asyncio.run(scenario())


def test_a_holder_of_a_network_that_no_keeper_can_use_is_given_up(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    refusing = paths.network.parent / "refusing" / "nft"
    refusing.parent.mkdir()
    known = f"{nft} list table inet banger >/dev/null 2>&1"  # in the namespace of an earlier keeper
    refusing.write_text(f'#!/bin/sh\n{known} && exit 1\nexec {nft} "$@"\n')
    refusing.chmod(0o700)

    async def scenario() -> None:
        async with guarded(paths) as guards:
            before, holder = pids(guards), holder_of(guards)
            await take_tap(guards, "tap-x")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        monkeypatch.setattr("banger.network.guards._ADMIN_PATH", str(refusing.parent))
        async with guarded(paths) as guards:
            assert holder_of(guards) != holder and not alive(holder)
            assert "tap-x" not in (await guards.ask_keeper("list")).text

    asyncio.run(scenario())


def test_without_the_programs_it_says_why(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banger.network.guards._ADMIN_PATH", "/nonexistent")

    async def scenario() -> None:
        guards = Guards(paths)
        assert await guards.ready() != ""  # not begun
        guards.begin()
        assert "nft is not installed" in await guards.ready()
        await guards.close()

    asyncio.run(scenario())
