"""Keeper and relay as the daemon has them: started, found again, started again, ended; the real programs."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from banger.host.packets import close_all
from banger.host.paths import Paths
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


def test_without_the_programs_it_says_why(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banger.network.guards._ADMIN_PATH", "/nonexistent")

    async def scenario() -> None:
        guards = Guards(paths)
        assert await guards.ready() != ""  # not begun
        guards.begin()
        assert "nft is not installed" in await guards.ready()
        await guards.close()

    asyncio.run(scenario())
