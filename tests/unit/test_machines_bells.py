"""Bells of machines that sleep: a bell rings once, and no bell is forgotten."""

from __future__ import annotations

import asyncio
import os

import pytest

from banger.machines.watch.bells import Bells


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_bell_rings_once_and_is_taken_down() -> None:
    async def scenario() -> None:
        reader, writer = os.pipe()
        rung = []
        bells = Bells()
        bells.hang("m", reader, lambda: rung.append("m"))
        await asyncio.sleep(0.01)
        assert rung == [] and is_open(reader)
        os.write(writer, b"..")
        await asyncio.sleep(0.01)
        assert rung == ["m"] and not is_open(reader)
        os.close(writer)

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["taken down", "hung anew", "all"])
def test_a_bell_that_goes_is_closed_and_rings_no_more(how: str) -> None:
    async def scenario() -> None:
        (first, first_writer), (second, second_writer) = os.pipe(), os.pipe()
        rung = []
        bells = Bells()
        bells.hang("m", first, lambda: rung.append("first"))
        if how == "taken down":
            bells.take_down("m")
            bells.take_down("m")
        elif how == "hung anew":
            bells.hang("m", second, lambda: rung.append("second"))
            os.write(second_writer, b".")
        bells.take_down("another")
        await asyncio.sleep(0.01)
        bells.take_all_down()
        assert rung == (["second"] if how == "hung anew" else []) and not is_open(first)
        for descriptor in {second, first_writer, second_writer}:
            if is_open(descriptor):
                os.close(descriptor)

    asyncio.run(scenario())
