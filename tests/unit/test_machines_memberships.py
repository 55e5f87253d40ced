"""Named networks: what the records say of them, what keeper and relay are told, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from banger.errors import Error
from banger.host.packets import Answer, Refused
from banger.machines.ask import memberships
from banger.machines.ask.memberships import Hands
from banger.machines.keep.registry import Registry
from banger.machines.life.lifecycle import create
from banger.machines.life.memberships import numbers_of, peers_of
from banger.machines.life.neighbours import MEMBERS_MOST, Neighbours
from banger.machines.life.passage import describe_to_relay
from banger.machines.watch.passages import Passages
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.network import MachineNetwork, Membership
from banger.network.addresses import address_6_of
from banger.network.keeper import Keeper
from banger.store.store import Store

fake: Any = SimpleNamespace


class House:
    """A registry, with keeper and relay that note what they are asked."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "s.db"
        self.store = Store(self.path)
        self.registry = Registry(self.store)
        self.joined: dict[str, set[int]] = {}
        self.told: dict[str, list[str]] = {}
        self.addresses: dict[str, str] = {}
        self.relay_refuses = False
        self.no_taps = ""
        self.guards: Any = fake(
            ask_keeper=self.ask_keeper,
            ask_relay=self.ask_relay,
            ready=self.ready,
            taps=lambda: Keeper(self.ask_keeper).list(),
            keeper=fake(ask=self.ask_keeper, socket="keeper.sock"),
            relay=fake(ask=self.ask_relay, socket="relay.sock"),
        )
        resources = fake(
            of_machine=lambda id_: [
                fake(kind="tap", identity={"key": f"tap-{id_}"}),
                fake(kind="passage", identity={}),
            ]
        )
        live: dict[str, Any] = {}
        self.lives: Any = fake(
            registry=self.registry,
            live=live,
            get=lambda machine: live.get(machine.id),
            on_begin=[],
            on_end=[],
            locks=fake(__getitem__=None),
            holdings=fake(resources=resources),
        )
        self.lives.locks = Anything()
        self.neighbours = Neighbours(self.lives, self.guards)
        settings = fake(network=fake(default="internet"))
        self.hands = Hands(self.lives, fake(guards=self.guards, settings=settings), self.neighbours)

    async def ready(self) -> str:
        return self.no_taps

    async def ask_keeper(self, request: str, descriptors: Sequence[int] = ()) -> Answer:
        verb, *words = request.split()
        if verb == "list":
            lines = [
                f"vm1 {key} {self.addresses.get(key, '-')} - {','.join(map(str, joined)) or '-'}"
                for key, joined in self.joined.items()
            ]
            return Answer("" if int(words[0]) else "\n" + "\n".join(lines))
        joined = self.joined.setdefault(words[0], set())
        joined.add(int(words[1])) if verb == "join" else joined.discard(int(words[1]))
        return Answer("")

    async def ask_relay(self, request: str, descriptors: Sequence[int] = ()) -> Answer:
        if self.relay_refuses:
            raise Refused("invalid", "no")
        if request.startswith("list"):
            return Answer("")
        first, *lines = request.splitlines()
        self.told[first] = sorted(line for line in lines if line.startswith("name "))
        return Answer("")

    def names_told(self, machine: Machine) -> set[str]:
        return {line.split()[1] for line in self.told.get(f"machine vm-{machine.id}", [])}

    def network(self, name: str, *, internal: bool = False) -> int:
        return asyncio.run(memberships.make(self.registry, self.guards, name, internal=internal)).number

    def machine(self, name: str, *networks: str, aliases: tuple[str, ...] = (), number: int = 0) -> Machine:
        joins = [Membership(network=network, aliases=aliases) for network in networks]
        spec = MachineSpec(image="x", name=name, networks=joins)
        machine = create(self.registry, fake(), spec)
        if number:
            address = f"10.213.0.{number}"
            network = MachineNetwork(link="tap", policy="internet", address_6=address_6_of(address))
            self.registry.change(machine, address=address, network=network)
        return machine

    async def begin(self, *machines: Machine) -> None:
        for machine in machines:
            self.lives.live[machine.id] = fake(machine=machine, gone=asyncio.Event())
            self.registry.move(machine, "start")
            self.registry.move(machine, "booted")
        await self.neighbours.told()

    async def end(self, machine: Machine) -> None:
        self.lives.live.pop(machine.id).gone.set()
        self.registry.move(machine, "exited")
        await self.neighbours.told()


class Anything:
    """A lock for each key."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    def __getitem__(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_machine_knows_the_names_of_those_that_run_on_its_networks_and_no_others(house: House) -> None:
    house.network("front")
    house.network("back")
    db = house.machine("db", "front", "back", aliases=("SQL", "my_db"), number=20)
    web = house.machine("web", "front", number=21)
    app = house.machine("app", "back", number=22)

    async def life() -> None:
        await house.begin(db, web, app)
        assert house.names_told(web) == {
            "web",
            "web.front",
            "db",
            "db.front",
            "sql",
            "sql.front",
            "my_db",
            "my_db.front",
        }
        assert house.names_told(app) == {
            "app",
            "app.back",
            "db",
            "db.back",
            "sql",
            "sql.back",
            "my_db",
            "my_db.back",
        }
        assert peers_of(house.registry, web)["db.front"] == ("10.213.0.20", "fd62:616e:6765::14")
        house.registry.move(db, "pause")
        await house.neighbours.told()
        assert "db" in house.names_told(web)  # it sleeps
        await house.end(db)
        assert house.names_told(web) == {"web", "web.front"} and house.names_told(app) == {"app", "app.back"}

    asyncio.run(life())


def test_many_machines_that_start_one_after_the_other_hear_of_one_another_in_few_packets(
    house: House,
) -> None:
    house.network("front")
    machines = [house.machine(f"m{number}", "front", number=number) for number in range(20, 60)]
    asked: list[str] = []
    ask = house.ask_relay

    async def slowly(request: str, descriptors: Sequence[int] = ()) -> Answer:
        asked.append(request)
        await asyncio.sleep(0)  # others start meanwhile
        return await ask(request, descriptors)

    house.guards.ask_relay = slowly

    async def life() -> None:
        for machine in machines:
            house.lives.live[machine.id] = fake(machine=machine, gone=asyncio.Event())
            house.registry.move(machine, "start")
            house.registry.move(machine, "booted")
            for _ in range(2 * len(machines)):  # in which all could be told
                await asyncio.sleep(0)
        await house.neighbours.told()
        expected = {name for machine in machines for name in (machine.name, f"{machine.name}.front")}
        assert all(house.names_told(machine) == expected for machine in machines)
        assert len(asked) < len(machines) ** 2 / 4

    asyncio.run(life())


def test_a_running_machine_joins_and_leaves_and_keeps_its_policy(house: House) -> None:
    number = house.network("back", internal=True)
    web, app = house.machine("web", number=21), house.machine("app", "back", number=22)

    async def life() -> None:
        await house.begin(web, app)
        back = house.registry.networks.find("back")
        await memberships.connect(house.hands, web, back, ["shop", "shop"])
        assert house.joined[f"tap-{web.id}"] == {number}
        assert {"web", "web.back", "shop", "shop.back"} <= house.names_told(app)
        assert web.spec.network == "internet" and web.network.policy == "internet"
        await memberships.connect(house.hands, web, back, [])
        assert "shop" not in house.names_told(app) and len(web.spec.networks) == 1
        await memberships.disconnect(house.hands, web, "back")
        assert house.joined[f"tap-{web.id}"] == set() and "web" not in house.names_told(app)
        await memberships.disconnect(house.hands, app, "back")
        assert app.spec.network == "none"  # to leave opens nothing
        with pytest.raises(Error) as caught:
            await memberships.disconnect(house.hands, app, "back")
        assert caught.value.code == "network_not_found"

    asyncio.run(life())


def test_what_cannot_be_told_is_as_it_was(house: House) -> None:
    house.network("back")
    web = house.machine("web", number=21)

    async def life() -> None:
        await house.begin(web)
        house.relay_refuses = True
        with pytest.raises(Error) as caught:
            await memberships.connect(house.hands, web, house.registry.networks.find("back"), [])
        assert caught.value.code == "network_failed"

    asyncio.run(life())
    assert web.spec.networks == [] and house.joined[f"tap-{web.id}"] == set()


def test_a_new_daemon_does_what_was_recorded_before_the_earlier_one_was_killed(house: House) -> None:
    number = house.network("back")
    web = house.machine("web", "back", number=21)
    key = f"tap-{web.id}"
    house.joined[key], house.addresses[key] = {9}, web.address

    async def life() -> None:
        house.registry.move(web, "start")
        house.registry.move(web, "booted")
        live: Any = fake(machine=web, gone=asyncio.Event())
        house.lives.live[web.id] = live
        house.lives.live.clear()
        passages = Passages(house.lives, house.guards)
        await passages._tell_all()  # before the machine is adopted
        house.lives.live[web.id] = live
        house.told.clear()
        for hear in house.lives.on_begin:
            hear(live)
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)

    asyncio.run(life())
    assert house.joined[key] == {number} and "web.back" in house.names_told(web)


def test_the_relay_forgets_a_machine_that_ends_while_it_is_told_of_it(house: House) -> None:
    house.network("back")
    web, db = house.machine("web", "back", number=21), house.machine("db", "back", number=20)

    async def life() -> None:
        await house.begin(web, db)
        ask, told = house.guards.ask_relay, house.told

        async def ask_and_end(request: str, descriptors: Sequence[int] = ()) -> Answer:
            if request.startswith(f"machine vm-{web.id}"):
                house.lives.live[web.id].gone.set()
            answer: Answer = await ask(request, descriptors)
            return answer

        told.clear()
        house.guards.ask_relay = ask_and_end
        house.registry.move(db, "pause")
        house.registry.move(db, "stop")
        await house.neighbours.told()
        assert f"forget vm-{web.id}" in told and f"forget vm-{db.id}" not in told

    asyncio.run(life())


@pytest.mark.parametrize("ends", ["before", "meanwhile"])
@pytest.mark.parametrize("teller", ["all", "sleep"])
def test_what_a_new_relay_is_told_of_a_machine_that_ends_is_forgotten_too(
    house: House, teller: str, ends: str
) -> None:
    """As after the daemon and the keeper were killed: the machine is adopted, and its command has ended."""
    web, db = house.machine("web", number=21), house.machine("db", number=20)

    async def life() -> None:
        await house.begin(web, db)
        passages, live = Passages(house.lives, house.guards), house.lives.live[web.id]
        ask, told = house.guards.ask_relay, house.told

        async def ask_and_end(request: str, descriptors: Sequence[int] = ()) -> Answer:
            if request.startswith("list" if ends == "before" else f"machine vm-{web.id}"):
                live.gone.set()
            answer: Answer = await ask(request, descriptors)
            return answer

        told.clear()
        house.guards.ask_relay = house.guards.relay.ask = ask_and_end
        if teller == "all":
            await passages._tell_all()
            assert f"machine vm-{db.id}" in told and f"forget vm-{db.id}" not in told
            assert web.warnings == (), "that it has no network any more says nothing"
        else:
            live.gone.set() if ends == "before" else None
            await passages._note_sleep(live)
        assert (f"machine vm-{web.id}" in told) is (ends == "meanwhile")
        assert (f"forget vm-{web.id}" in told) is (ends == "meanwhile")

    asyncio.run(life())


def test_a_machine_without_a_tap_is_connected_at_its_next_start_or_told_why_not(house: House) -> None:
    house.network("back")
    back = house.registry.networks.find("back")
    resting, running = house.machine("resting"), house.machine("running")

    async def life() -> None:
        await memberships.connect(house.hands, resting, back, [])
        assert numbers_of(house.registry, resting) == {back.number}
        await house.begin(running)
        for why, code in (("", "bad_state"), ("no /dev/net/tun", "network_unenforceable")):
            house.no_taps = why
            with pytest.raises(Error) as caught:
                await memberships.connect(house.hands, running, back, [])
            assert caught.value.code == code and why in caught.value.message

    asyncio.run(life())
    assert running.spec.networks == []


def test_networks_outlive_the_daemon_and_go_only_without_members(house: House) -> None:
    number = house.network("back", internal=True)
    house.network("unused")
    house.machine("app", "back")
    again = Registry(Store(house.path))
    back = again.networks.find("back")
    assert (back.number, back.internal) == (number, True)
    assert [member.machine for member in memberships.describe(again, back).members] == ["app"]
    with pytest.raises(Error) as caught:
        memberships.delete(again, back)
    assert caught.value.code == "in_use" and "app" in caught.value.message
    assert [network.name for network in memberships.prune(again, dry_run=True)] == ["unused"]
    assert [network.name for network in memberships.prune(again, dry_run=False)] == ["unused"]
    assert [network.name for network in Registry(Store(house.path)).networks.all()] == ["back"]


def test_a_number_that_a_tap_has_joined_is_not_used_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banger.machines.keep.networks._NUMBERS", range(1, 5))
    house.joined["tap-x"] = {2, 3}
    assert {house.network("one"), house.network("two")} == {1, 4}
    with pytest.raises(Error) as caught:
        house.network("three")
    assert caught.value.code == "network_full"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("internet", "bad_spec"),
        ("none", "bad_spec"),
        ("default", "bad_spec"),
        ("a b", "bad_name"),
        ("A", "bad_name"),
        ("a.b", "bad_name"),
        ("", "bad_name"),
        ("back", "name_taken"),
    ],
)
def test_a_name_that_no_network_can_have(house: House, name: str, code: str) -> None:
    house.network("back")
    with pytest.raises(Error) as caught:
        house.network(name)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "alias", ["", "a b", "a\nbase host", "-a", "a" * 64, "a..b", "é", ("a" * 60 + ".") * 4 + "abcdef"]
)
def test_an_alias_that_is_no_name_is_refused(house: House, alias: str) -> None:
    house.network("back")
    with pytest.raises(Error) as caught:
        house.machine("app", "back", aliases=(alias,))
    assert caught.value.code == "bad_spec"


def test_a_machine_on_a_network_that_is_not_there_is_not_made(house: House) -> None:
    with pytest.raises(Error) as caught:
        house.machine("app", "nowhere")
    assert caught.value.code == "network_not_found" and house.registry.all() == []


def test_a_network_has_room_for_so_many_machines_and_names(house: House) -> None:
    house.network("back")
    for number in range(MEMBERS_MOST):
        house.machine(f"m{number}", "back")
    with pytest.raises(Error) as caught:
        house.machine("last", "back")
    assert caught.value.code == "network_full"


def test_what_a_machine_is_told_of_all_others_fits_into_a_packet(house: House) -> None:
    house.network("n" * 63)
    with pytest.raises(Error) as caught:
        for number in range(MEMBERS_MOST):
            house.machine(f"{number:0>63}", "n" * 63, number=100)
    assert caught.value.code == "network_full"
    for machine in house.registry.all():
        for other in house.registry.all():
            msgspec.structs.force_setattr(other, "state", MachineState.RUNNING)
        assert len(describe_to_relay(machine, peers_of(house.registry, machine)).packet()) < 64 << 10
