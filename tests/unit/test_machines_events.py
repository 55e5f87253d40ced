"""The journal: everything in its order, nothing missed without a word, nobody waits for a slow reader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger.machines.keep.events import GAP, Journal, Wish
from banger.model.event import Event
from banger.store import events
from banger.store.events import EventTable
from banger.store.store import Store


def in_loop(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))


async def read_all(journal: Journal, wish: Wish) -> list[Event]:
    return [event async for page in journal.read(wish) for event in page]


def numbers(found: list[Event]) -> list[int]:
    return [event.seq for event in found]


def tell(journal: Journal, count: int, target: str = "machine/dev") -> None:
    for number in range(count):
        journal.tell("machine.running", target, f"dev runs {number}", number=number)


def test_events_come_back_in_their_order(store: Store) -> None:
    async def story() -> None:
        journal = Journal(store.events)
        tell(journal, 1200)
        found = await read_all(journal, Wish())
        assert numbers(found) == [*range(1, 1201)]
        assert found[7].data == {"number": 7} and found[7].message == "dev runs 7"

    in_loop(story)


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        first = Store(tmp_path / "s.db")
        tell(Journal(first.events), 3)
        first.close()
        journal = Journal(Store(tmp_path / "s.db").events)
        tell(journal, 1)
        assert numbers(await read_all(journal, Wish(after=2))) == [3, 4]

    in_loop(story)


def test_a_machine_is_followed_with_its_snapshots(store: Store) -> None:
    async def story() -> None:
        journal = Journal(store.events)
        for target in ("machine/dev", "machine/dev-1", "snapshot/dev:one", "image/dev", "daemon"):
            tell(journal, 1, target)
        assert numbers(await read_all(journal, Wish(machine="dev"))) == [1, 3]

    in_loop(story)


def test_since_leaves_out_what_was_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        journal = Journal(store.events)
        for hour in (10, 11, 12):
            monkeypatch.setattr(events, "now", lambda hour=hour: f"2026-01-01T{hour}:00:00.000Z")
            tell(journal, 1)
        assert numbers(await read_all(journal, Wish(since="2026-01-01T11:00:00.000Z"))) == [2, 3]

    in_loop(story)


def test_a_follower_without_a_beginning_hears_what_is_to_come(store: Store) -> None:
    async def story() -> None:
        journal = Journal(store.events)
        tell(journal, 3)
        following = asyncio.create_task(read_all(journal, Wish(follow=True)))
        await asyncio.sleep(0)
        tell(journal, 2)
        await asyncio.sleep(0.01)
        tell(journal, 1)
        journal.close()
        assert numbers(await following) == [4, 5, 6]

    in_loop(story)


def test_a_follower_that_waits_does_not_poll(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        journal = Journal(store.events)
        reads = 0
        original = store.events.page

        def count(after: int, limit: int) -> list[Event]:
            nonlocal reads
            reads += 1
            return original(after, limit)

        monkeypatch.setattr(store.events, "page", count)
        following = asyncio.create_task(read_all(journal, Wish(follow=True)))
        while not reads:
            await asyncio.sleep(0)
        await asyncio.wait([following], timeout=0.2)
        assert reads == 1
        journal.close()
        await following

    in_loop(story)


def test_a_slow_follower_holds_up_nobody_and_hears_what_it_missed(store: Store) -> None:
    async def story() -> None:
        journal = Journal(EventTable(store.database, keep=100))
        slow = journal.read(Wish(follow=True))
        tell(journal, 1)
        reading = asyncio.ensure_future(anext(slow))
        await asyncio.sleep(0)
        tell(journal, 1)
        first = await reading
        assert [event.kind for event in first] == ["machine.running"]
        begun = time.thread_time()
        tell(journal, 1000)
        assert time.thread_time() - begun < 5
        gap, *rest = await anext(slow)
        assert gap.kind == GAP and gap.seq == rest[0].seq - 1
        assert gap.data["missed"] == rest[0].seq - first[-1].seq - 1 > 800
        assert numbers(rest) == [*range(rest[0].seq, 1003)]

    in_loop(story)


def test_whoever_comes_back_too_late_is_told_and_whoever_asks_for_all_is_not(store: Store) -> None:
    async def story() -> None:
        journal = Journal(EventTable(store.database, keep=100))
        tell(journal, 500)
        late = await read_all(journal, Wish(after=10))
        assert late[0].kind == GAP and late[0].data["missed"] == late[1].seq - 11
        assert all(event.kind != GAP for event in await read_all(journal, Wish()))
        old = await read_all(journal, Wish(since="2020-01-01T00:00:00.000Z"))
        assert old[0].kind == GAP

    in_loop(story)


def test_whoever_knows_more_than_the_journal_is_told(store: Store) -> None:
    async def story() -> None:
        journal = Journal(store.events)
        tell(journal, 2)
        assert [event.kind for event in await read_all(journal, Wish(after=9))] == [GAP]

    in_loop(story)


def test_the_journal_is_bounded(store: Store) -> None:
    journal_table = EventTable(store.database, keep=200)
    for _ in range(1000):
        journal_table.append("k", "t", "", {})
    assert 200 <= len(journal_table.page(0, 5000)) <= 250


def test_an_event_goes_with_the_transaction_it_belongs_to(store: Store) -> None:
    def work() -> None:
        store.events.append("k", "t", "", {})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.database.together(work)
    assert store.events.page(0, 10) == []


def test_an_event_takes_little_more_than_the_writing_of_a_row(store: Store) -> None:
    asyncio.run(_measure(store))


async def _measure(store: Store) -> None:
    journal = Journal(EventTable(store.database, keep=1000))
    tell(journal, 1100)
    store.database.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, record BLOB)")
    told, bare = [], []
    for number in range(1000):
        begun = time.thread_time()
        journal.tell("machine.running", "machine/dev", "dev is running", id="0123456789ab", was="starting")
        between = time.thread_time()
        store.database.execute("INSERT INTO bare VALUES (?, ?)", (number, bytes(200)))
        told.append(between - begun)
        bare.append(time.thread_time() - between)
    print(f"an event: {sorted(told)[500] * 1e6:.0f} µs, a row: {sorted(bare)[500] * 1e6:.0f} µs")
    assert sorted(told)[500] < 4 * sorted(bare)[500]
