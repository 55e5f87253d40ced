"""Fifty clients at once, about the same few machines: no deadlock, no lost update, only errors that mean something."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from banger import AsyncClient
from banger.errors import Error
from banger.model.machine import Machine
from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e

T = TypeVar("T")
CLIENTS = 50
ROUNDS = 12
NAMES = ("ant", "bee", "cat", "dog")
# What a client may hear because of the others.
FAIR = {"name_taken", "machine_not_found", "bad_state", "cancelled"}


def client_of(home: Home) -> AsyncClient:
    home.json("system", "info")  # the daemon runs
    return AsyncClient(home.json("system", "info")["socket"], start=False)


async def all_at_once(work: Callable[[int], Awaitable[T]], limit_s: float) -> list[T | Error]:
    """What became of each; anything but an Error is raised, and so is a deadlock."""

    async def one(number: int) -> T | Error:
        try:
            return await work(number)
        except Error as exc:
            return exc

    async with asyncio.timeout(limit_s):
        return await asyncio.gather(*(one(number) for number in range(CLIENTS)))


def codes(outcomes: list[T | Error]) -> Counter[str]:
    return Counter(outcome.code if isinstance(outcome, Error) else "ok" for outcome in outcomes)


def test_one_of_fifty_gets_the_name(own_home: Home) -> None:
    client = client_of(own_home)
    outcomes = asyncio.run(all_at_once(lambda _: client.machines.create(IMAGE, name="ant"), 60))
    assert codes(outcomes) == {"ok": 1, "name_taken": CLIENTS - 1}
    assert [m["name"] for m in own_home.json("vm", "list")] == ["ant"]


def test_fifty_with_one_key_get_one_machine(own_home: Home) -> None:
    client = client_of(own_home)
    outcomes = asyncio.run(all_at_once(lambda _: client.machines.create(IMAGE, idempotency_key="k"), 60))
    assert codes(outcomes) == {"ok": CLIENTS}
    (machine,) = own_home.json("vm", "list")
    assert {outcome.id for outcome in outcomes if not isinstance(outcome, Error)} == {machine["id"]}


def test_one_of_fifty_deletes_it(own_home: Home) -> None:
    client = client_of(own_home)
    own_home.text("vm", "create", "--name", "ant", IMAGE)
    outcomes = asyncio.run(all_at_once(lambda _: client.machines.delete("ant", force=True), 60))
    assert set(codes(outcomes)) <= {"ok", "machine_not_found"}
    told = [event["kind"] for event in events(own_home, "ant")]
    assert told == ["machine.created", "machine.deleting", "machine.deleted"]


def test_fifty_stop_a_machine_that_runs(own_home: Home) -> None:
    client = client_of(own_home)
    own_home.text("run", "-d", "--name", "ant", IMAGE)

    async def stop(number: int) -> Machine | None:
        operation = await client.machines.stop("ant")
        return (await client.operations.wait(operation.id)).result

    outcomes = asyncio.run(all_at_once(stop, 100))
    assert set(codes(outcomes)) <= {"ok", "bad_state"} and codes(outcomes)["ok"] >= 1
    assert own_home.json("vm", "show", "ant")["state"] == "stopped"
    told = Counter(event["kind"] for event in events(own_home, "ant"))
    assert told["machine.stopping"] == told["machine.stopped"] == 1


@pytest.mark.timeout(300)
def test_fifty_clients_create_list_start_stop_and_delete_the_same_names(own_home: Home) -> None:
    client = client_of(own_home)
    dice = random.Random(7)
    plans = [[dice.choice(DEEDS) for _ in range(ROUNDS)] for _ in range(CLIENTS)]
    heard: Counter[str] = Counter()

    async def work(number: int) -> None:
        for step, deed in enumerate(plans[number]):
            # One client alone starts machines: what is tested is the others, and each start takes a while.
            chosen = start if number == 0 and step % 4 == 0 else deed
            try:
                await chosen(client, NAMES[(number + step) % len(NAMES)])
            except Error as exc:
                heard[exc.code] += 1

    outcomes = asyncio.run(all_at_once(work, 240))
    assert codes(outcomes) == {"ok": CLIENTS}
    assert set(heard) <= FAIR, heard
    check_nothing_is_lost(own_home)


async def create(client: AsyncClient, name: str) -> None:
    await client.machines.create(IMAGE, name=name)


async def look(client: AsyncClient, name: str) -> None:
    found = [machine.name for machine in await client.machines.list()]
    assert len(found) == len(set(found))
    assert (await client.machines.get(name)).name == name


async def start(client: AsyncClient, name: str) -> None:
    await client.operations.wait((await client.machines.start(name)).id)


async def stop(client: AsyncClient, name: str) -> None:
    await client.operations.wait((await client.machines.stop(name, 1)).id)


async def delete(client: AsyncClient, name: str) -> None:
    await client.machines.delete(name, force=True)


DEEDS = (create, create, look, stop, delete)


def events(home: Home, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in home.text("events", "--json", "--machine", name).splitlines()]


def check_nothing_is_lost(home: Home) -> None:
    """The journal, the API and a daemon that reads the store anew agree."""
    born: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for name in NAMES:
        for event in events(home, name):
            machine = str(event["data"].get("id"))
            born[machine] += event["kind"] == "machine.created"
            gone[machine] += event["kind"] == "machine.deleted"
    assert set(born.values()) <= {0, 1} and set(gone.values()) <= {0, 1}
    left = {machine for machine, count in born.items() if count and not gone[machine]}
    assert {m["id"] for m in home.json("vm", "list")} == left
    home.text("system", "restart")
    assert {m["id"] for m in home.json("vm", "list")} == left
