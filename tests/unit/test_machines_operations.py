"""Long work as operations: watched, cancelled, kept for a while, pruned."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from banger.errors import Error
from banger.machines.keep import operations as module
from banger.machines.keep.operations import Operations
from banger.model.operation import Operation, OperationState, Report
from banger.store.store import Store


def test_watchers_see_every_event_and_the_result(tmp_path: Path) -> None:
    async def scenario() -> None:
        operations = Operations(Store(tmp_path / "s.db").operations)

        async def work(report: Report) -> str:
            for done in range(3):
                report("count", done=done, total=3)
                await asyncio.sleep(0)
            return "made"

        running = operations.begin("test", "x", work)
        assert [p.done async for p in running.events()] == [0, 1, 2]
        assert [p.done async for p in running.events()] == [0, 1, 2]  # a late watcher too
        assert await running.result() == "made"
        await operations.close()

    asyncio.run(scenario())


def test_cancel_waits_for_the_clean_up(tmp_path: Path) -> None:
    cleaned: list[str] = []

    async def work(report: Report) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("yes")
        return ""

    async def scenario() -> None:
        operations = Operations(Store(tmp_path / "s.db").operations)
        running = operations.begin("test", "x", work)
        await asyncio.sleep(0)
        ended = await operations.cancel(running.operation.id)
        assert cleaned == ["yes"]
        assert ended.state is OperationState.CANCELLED
        with pytest.raises(Error, match="cancelled"):
            await running.result()
        await operations.close()

    asyncio.run(scenario())


def test_a_bug_becomes_internal_and_an_error_keeps_its_code(tmp_path: Path) -> None:
    async def bug(report: Report) -> str:
        raise ZeroDivisionError("oops")

    async def refused(report: Report) -> str:
        raise Error("insufficient_disk", "no room")

    async def scenario() -> None:
        operations = Operations(Store(tmp_path / "s.db").operations)
        codes = []
        for work in (bug, refused):
            running = operations.begin("test", "x", work)
            with pytest.raises(Error):
                await running.result()
            assert running.operation.error is not None
            codes.append(running.operation.error.code)
        assert codes == ["internal", "insufficient_disk"]
        await operations.close()

    asyncio.run(scenario())


def test_what_an_earlier_daemon_did_not_end_is_failed(tmp_path: Path) -> None:
    table = Store(tmp_path / "s.db").operations
    table.put(Operation(id="a", kind="pull", target="x", state=OperationState.RUNNING, begun="2026"))
    (operation,) = Operations(table).list()
    assert operation.state is OperationState.FAILED
    assert operation.ended


def test_old_operations_are_pruned_and_new_ones_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_COUNT", 3)

    async def work(report: Report) -> str:
        return ""

    async def scenario() -> None:
        table = Store(tmp_path / "s.db").operations
        table.put(
            Operation(
                id="old", kind="k", target="t", state=OperationState.SUCCEEDED, begun="1999", ended="1999"
            )
        )
        operations = Operations(table)
        for _ in range(5):
            await operations.begin("test", "x", work).result()
        assert len(operations.list()) == len(table.all()) == 3  # no timer had to come for that
        with pytest.raises(Error, match="no operation"):
            operations.get("old")
        await operations.close()

    asyncio.run(scenario())


def test_a_daemon_begins_no_more_operations_than_it_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUNNING_MAX", 2)
    gate = asyncio.Event()

    async def work(report: Report) -> str:
        await gate.wait()
        return ""

    async def scenario() -> None:
        operations = Operations(Store(tmp_path / "s.db").operations)
        begun = [operations.begin("test", "x", work) for _ in range(2)]
        with pytest.raises(Error) as caught:
            operations.begin("test", "x", work)
        assert caught.value.code == "too_many_operations" and len(operations.list()) == 2
        begun.append(operations.begin("restart", "x", work, unasked=True))
        gate.set()
        for running in begun:
            await running.result()
        await operations.begin("test", "x", work).result()
        await operations.close()

    asyncio.run(scenario())
