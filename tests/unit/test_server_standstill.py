"""The watch on the event loop: who keeps it is named, who only waits for it, or beside it, is not."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from banger.server import standstill
from banger.server.standstill import WORDS, Watch

LIMIT_S = 0.05


def watched(body: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """What is told while `body` runs."""
    told: list[str] = []

    async def watch_it() -> None:
        watch = Watch(LIMIT_S, told.append)
        watch.begin()
        try:
            await asyncio.create_task(body())
        finally:
            watch.end()

    asyncio.run(watch_it())
    return told


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


async def hog() -> None:
    await asyncio.sleep(0)
    compute(20 * LIMIT_S)


def test_who_computes_for_long_is_told_with_his_stack() -> None:
    (told,) = watched(hog)
    assert told.startswith(WORDS) and "of processor time" in told and "compute(20 * LIMIT_S)" in told


def test_who_sleeps_for_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "_SLEEP_S", 0.2)

    async def doze() -> None:
        await asyncio.sleep(0)
        time.sleep(0.5)

    (told,) = watched(doze)
    assert "asleep" in told and "time.sleep(0.5)" in told


def test_what_is_beside_the_loop_or_goes_step_by_step_is_not_told() -> None:
    async def body() -> None:
        await asyncio.to_thread(compute, 4 * LIMIT_S)
        for _ in range(20):
            compute(LIMIT_S / 10)
            await asyncio.sleep(0)
        await asyncio.sleep(2 * LIMIT_S)

    assert watched(body) == []


def test_a_processor_that_became_slow_is_allowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "_slowness", lambda self: 100.0)
    assert watched(hog) == []


def test_after_its_end_nothing_is_watched() -> None:
    plain = asyncio.Handle._run
    watched(hog)
    assert asyncio.Handle._run is plain


def test_what_waits_for_a_disk_is_told_however_fast_it_is(tmp_path: Path) -> None:
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "file").touch()

    async def on_the_loop() -> None:
        await asyncio.sleep(0)
        shutil.copyfile(tmp_path / "file", tmp_path / "copy")
        os.link(tmp_path / "file", tmp_path / "link")
        assert list(tmp_path.glob("*.nothing")) == []

    async def beside_it() -> None:
        await asyncio.to_thread(shutil.rmtree, tmp_path / "tree")

    told = watched(on_the_loop)
    kinds = [each.splitlines()[0].removeprefix(f"{WORDS}: ") for each in told]
    assert kinds == ["shutil.copyfile", "os.link", "os.scandir"]
    assert watched(beside_it) == []
