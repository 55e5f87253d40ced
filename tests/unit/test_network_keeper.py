"""Requests to the keeper as text, and what its last words mean."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from banger.host.packets import Answer
from banger.network.keeper import _REFUSALS, HeldTap, Keeper, read_refusal

NATIVE = Path(__file__).parents[2] / "native/network"


class Script:
    """Answers requests from a table."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def ask(self, request: str, descriptors: Sequence[int]) -> Answer:
        assert not descriptors
        self.asked.append(request)
        return self.answers.get(request, Answer(""))


def test_requests_have_their_words() -> None:
    script = Script({})
    keeper = Keeper(script.ask)

    async def main() -> None:
        await keeper.bind("tap-1", "10.213.0.5", None)
        await keeper.bind("tap-1", None, "fd62:616e:6765::5")
        await keeper.unbind("tap-1")
        await keeper.join("tap-1", 7)
        await keeper.leave("tap-1", 7)
        await keeper.free("tap-1")

    asyncio.run(main())
    assert script.asked == [
        "bind tap-1 10.213.0.5 -",
        "bind tap-1 - fd62:616e:6765::5",
        "unbind tap-1",
        "join tap-1 7",
        "leave tap-1 7",
        "free tap-1",
    ]


def test_a_tap_is_its_name_and_one_descriptor() -> None:
    reading, writing = os.pipe()
    script = Script({"tap a": Answer("vm3", (reading, writing))})
    tap = asyncio.run(Keeper(script.ask).tap("a"))
    assert tap == ("vm3", reading)
    os.close(reading)
    with pytest.raises(OSError):  # nobody waits for a second one
        os.fstat(writing)


def test_a_list_is_read_to_its_end() -> None:
    pages = {
        "list 0": Answer("vm0 a 10.213.0.5 fd62:616e:6765::5 7,9\nvm2 b - - -"),
        "list 2": Answer("vm3 c 10.213.0.6 - 1"),
        "list 3": Answer(""),
    }
    assert asyncio.run(Keeper(Script(pages).ask).list()) == (
        HeldTap("vm0", "a", "10.213.0.5", "fd62:616e:6765::5", frozenset({7, 9})),
        HeldTap("vm2", "b", None, None, frozenset()),
        HeldTap("vm3", "c", "10.213.0.6", None, frozenset({1})),
    )


def test_last_words_have_a_reason() -> None:
    refusal = read_refusal("nft: noise\nkeeper: tun_refused: /dev/net/tun: Permission denied\n\n")
    assert refusal is not None
    assert refusal.code == "tun_refused"
    assert refusal.detail == "/dev/net/tun: Permission denied"
    assert refusal.sentence == f"{refusal.reason} ({refusal.detail})"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "\n",
        "keeper: usage: unknown option: --x",
        "keeper: tun_refused",
        "relay: tun_refused: a: b",
        "keeper: tun_refused: old: reason\nkilled",
    ],
)
def test_other_last_words_have_none(said: str) -> None:
    assert read_refusal(said) is None


def test_every_refusal_of_the_program_is_known() -> None:
    header = (NATIVE / "keeper_refusal.h").read_text()
    assert set(re.findall(r'_REFUSED "(\w+)"', header)) == set(_REFUSALS)
