"""Time of the event loop for those who are not trusted: a little for each at once, the rest in turns, and no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from banger.host.turns import FLOOD_S, PERIOD_S, SLICE_S, Share, Turns


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_who_wants_little_never_waits() -> None:
    clock = Clock()
    share = Turns(clock).join()
    for _ in range(1000):
        assert share.left_s() > 0
        share.spend(0.001)
        clock.now += 0.05


def test_an_allowance_is_used_up_and_comes_back() -> None:
    clock = Clock()
    share = Turns(clock).join()
    share.spend(SLICE_S)
    assert share.left_s() == 0
    clock.now += 10
    assert share.left_s() == SLICE_S


def test_the_more_there_are_the_smaller_are_their_allowances() -> None:
    turns = Turns()
    shares = [turns.join() for _ in range(1000)]
    assert turns.allowance * len(shares) < 0.2
    for share in shares:
        share.close()
    assert turns.allowance == Turns().allowance


def test_whoever_is_forgotten_takes_nothing_from_others() -> None:
    turns = Turns()
    for _ in range(1000):
        turns.join()
    assert turns.allowance == Turns().allowance


def spent_by_floods(count: int, for_s: float) -> tuple[float, list[int]]:
    """The part of the time that so many take who always want more, and how often each was let."""

    async def scenario() -> tuple[float, list[int]]:
        turns, counts, spent = Turns(), [0] * count, 0.0

        def flood(number: int, share: Share) -> Callable[[], None]:
            def go_on() -> None:
                nonlocal spent
                counts[number] += 1
                left_s = share.left_s()
                spent += left_s
                share.spend(left_s)
                share.wait(go_on)

            return go_on

        shares = [turns.join() for _ in range(count)]
        begun = time.monotonic()
        for number, share in enumerate(shares):
            flood(number, share)()
        spent = 0.0  # what each may take at once does not count
        await asyncio.sleep(for_s)
        took_s = time.monotonic() - begun
        for share in shares:
            share.close()
        return spent / took_s, counts

    return asyncio.run(scenario())


def test_many_floods_take_no_more_than_one() -> None:
    most = SLICE_S / PERIOD_S + 0.1
    for count in (1, 20):
        part, counts = spent_by_floods(count, 0.5)
        assert part < most
        assert max(counts) - min(counts) <= 1


def test_a_flood_that_does_not_end_gets_shorter_turns_and_is_forgiven_when_it_does() -> None:
    clock = Clock()
    share = Turns(clock).join()

    async def scenario() -> None:
        given: list[float] = []
        share.spend(share.left_s())
        for _ in range(3):
            share.wait(lambda: given.append(share.left_s()))
            clock.now += FLOOD_S * 0.6
            share.take_turn()
            share.spend(share.left_s())
        assert given[0] == SLICE_S and given[-1] < SLICE_S / 2
        clock.now += 10
        assert share.left_s() == SLICE_S
        share.spend(share.left_s())
        share.wait(lambda: given.append(share.left_s()))
        share.take_turn()
        assert given[-1] == SLICE_S

    asyncio.run(scenario())


def test_who_closes_while_it_waits_is_told_at_once_and_waits_no_more() -> None:
    async def scenario() -> None:
        share = Turns().join()
        share.spend(SLICE_S)
        waiting = asyncio.create_task(share.turn())
        await asyncio.sleep(0)
        share.close()
        async with asyncio.timeout(5):
            await waiting
            await share.turn()

    asyncio.run(scenario())
