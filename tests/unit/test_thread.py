"""Threads beside the loop: who is cancelled has stopped his, few are at work at a time, and none holds up an end."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from threading import Event, Lock

import pytest

from banger.host.thread import Crew, end_all, in_stoppable_thread, in_thread

ROOT = Path(__file__).parents[2]
LONG_S = 60.0
# The command line and the SDK have threads of the interpreter; a merge has a line of its own, the watch one that looks.
MAY_HAVE_THREADS = {"host/thread.py", "images/disks/merge/pipeline.py", "server/standstill.py"}


def test_a_thread_brings_what_it_returns_and_raises_what_it_raises() -> None:
    def fail() -> None:
        raise OSError("no")

    assert asyncio.run(in_thread(divmod, 7, 2)) == (3, 1)
    with pytest.raises(OSError, match="no"):
        asyncio.run(in_thread(fail))
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(in_thread(next, iter(())))


def test_who_is_cancelled_has_his_thread_told_to_stop_and_sees_its_end() -> None:
    ended = Event()

    def work(begun: Event, stop: Event) -> None:
        begun.set()
        assert stop.wait(LONG_S)
        ended.set()

    async def body() -> None:
        begun = Event()
        task = asyncio.create_task(in_stoppable_thread(lambda stop: work(begun, stop)))
        await in_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(body())


def test_short_work_that_has_begun_is_over_when_its_waiter_was_cancelled_however_often() -> None:
    async def body() -> None:
        begun, go_on, ended = Event(), Event(), Event()

        def work() -> None:
            begun.set()
            assert go_on.wait(LONG_S)
            ended.set()

        task = asyncio.create_task(in_thread(work))
        await in_thread(begun.wait)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(body())


def test_no_more_than_the_limit_are_at_work_and_what_was_cancelled_before_its_turn_never_begins() -> None:
    crew, lock = Crew("few", 2), Lock()
    at_work, most, never = 0, 0, Event()

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        Event().wait(0.005)
        with lock:
            at_work -= 1

    async def body() -> None:
        await asyncio.gather(*(crew.run(work) for _ in range(20)))
        go_on = Event()
        busy = [asyncio.create_task(crew.run(lambda: go_on.wait(LONG_S))) for _ in range(2)]
        late = asyncio.create_task(crew.run(never.set))
        await asyncio.sleep(0)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        go_on.set()
        await asyncio.gather(*busy)
        await crew.run(lambda: None)

    asyncio.run(body())
    assert most == 2 and not never.is_set()


def test_a_thread_that_hangs_is_not_waited_for_without_end_and_what_it_brings_is_closed() -> None:
    class Thing:
        closed = False

        def close(self) -> None:
            self.closed = True

    async def body() -> None:
        go_on, thing = Event(), Thing()

        def hang() -> Thing:
            assert go_on.wait(LONG_S)
            return thing

        crew = Crew("hanging", 1)
        task = asyncio.create_task(crew.run(hang, patience_s=0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await crew.run(lambda: None)
        await asyncio.sleep(0)
        assert thing.closed

    asyncio.run(body())


def test_the_end_of_the_daemon_stops_all_work_and_leaves_to_itself_what_does_not_stop() -> None:
    async def body() -> None:
        begun, go_on = Event(), Event()

        def wait_for(end: Event) -> bool:
            begun.set()
            return end.wait(LONG_S)

        stopping = asyncio.create_task(in_stoppable_thread(wait_for))
        await in_thread(begun.wait)
        begun.clear()
        hanging = asyncio.create_task(in_thread(lambda: wait_for(go_on)))
        await in_thread(begun.wait)
        await end_all(0.1)
        assert await stopping is True
        with pytest.raises(asyncio.CancelledError):
            await hanging
        go_on.set()

    asyncio.run(body())


def test_threads_are_made_in_one_place() -> None:
    found = set()
    source = ROOT / "src/banger"
    for path in source.rglob("*.py"):
        name = str(path.relative_to(source))
        if name in MAY_HAVE_THREADS or name.startswith(("cli/", "client/", "ssh/")):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            named = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            if named in ("to_thread", "run_in_executor", "Thread", "ThreadPoolExecutor"):
                found.add(f"{name}: {named}")
    assert found == set()
