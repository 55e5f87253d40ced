"""What keeper and relay do for the machines that run: told again to a new relay, heard of when they deny something, and
woken when a connection comes to a machine that sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Mapping, Sequence, Set

import msgspec

from banger.errors import Error
from banger.host.background import in_background, keep_going
from banger.host.bounded import Bounded
from banger.host.packets import PacketConnection, Refused, close_all
from banger.machines.ask.connections import CONNECTIONS_MAX, carried, carry, connected
from banger.machines.ask.pausing import awake
from banger.machines.keep.events import tell_denied, tell_warning
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.memberships import numbers_of
from banger.machines.life.neighbours import tell_while_it_runs
from banger.machines.life.passage import id_of, note_passage, settle_joins, tap_of
from banger.machines.life.publications import publish_again
from banger.machines.watch.bells import Bells
from banger.model.ending import PauseCause
from banger.model.machine import Machine, MachineState
from banger.model.network import Attempt, Denial
from banger.network.guards import Guards
from banger.network.keeper import HeldTap, Keeper
from banger.network.policy import find_opening
from banger.network.relay import Denied, Knock, Reach, Relay, read_event

log = logging.getLogger("banger.network")

_MACHINES = 1024
_DENIALS_KEPT = 64
_TOLD_MAX = 32
_REACHING_MAX = 512
_PAUSE_S = 1.0

# What was tried: protocol, address and port.
Target = tuple[Attempt, str, int]


class Passages:
    """Lives as long as the daemon; used from its event loop."""

    def __init__(self, lives: Lives, guards: Guards) -> None:
        self._lives = lives
        self._guards = guards
        self._denials: Bounded[str, dict[Target, Denial]] = Bounded(_MACHINES)
        self._denied: Bounded[str, int] = Bounded(_MACHINES)
        self._listening: asyncio.Task[None] | None = None
        self._telling = asyncio.Lock()
        self._told: set[str] = set()  # machines of earlier daemons that keeper and relay were asked about
        self._bells = Bells()
        self._reaching: Counter[str] = Counter()  # clients that go through agents, by machine
        guards.on_new_relay = self._tell_all
        lives.on_begin.append(self._begin)
        lives.on_end.append(self._end)

    def begin(self) -> None:
        self._listening = keep_going(self._listen, "the relay's events")

    def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self._bells.take_all_down()

    def denials(self, machine: Machine) -> tuple[Denial, ...]:
        """What was denied to the machine in its present life, or its last one."""
        return tuple(self._denials.get(machine.id, {}).values())

    def describe(self, machine: Machine) -> Machine:
        """A copy of the record, with what was denied."""
        denied = self._denied.get(machine.id, 0)
        if not denied:
            return machine
        network = msgspec.structs.replace(machine.network, denied=denied, denials=self.denials(machine))
        return msgspec.structs.replace(machine, network=network)

    def _begin(self, live: LiveMachine) -> None:
        if live.machine.network.link != "tap":
            return
        self._denials.pop(live.machine.id, None)
        self._denied.pop(live.machine.id, None)
        live.on_sleep = lambda: in_background(self._note_sleep(live), f"the sleep of {live.machine.name}")
        if live.machine.state is not MachineState.STARTING:
            in_background(self._tell_adopted(live.machine), f"the network of {live.machine.name}")

    def _end(self, machine: Machine, failed: bool) -> None:
        self._bells.take_down(machine.id)

    async def _tell_adopted(self, machine: Machine) -> None:
        """Tell of a machine of an earlier daemon that was adopted after all others were told of."""
        if await self._guards.ready():
            return
        async with self._telling:
            if machine.id not in self._told:
                with contextlib.suppress(OSError, TimeoutError, Refused):  # then the relay is a new one soon
                    await self._tell_these([machine])

    async def _tell_all(self) -> None:
        """Tell the relay about all machines that run, and open the published ports that it does not have: it may be a
        new one, or an earlier daemon may have ended before it told all."""
        async with self._telling:
            live = tuple(self._lives.live.values())
            await self._tell_these([one.machine for one in live if one.machine.network.link == "tap"])

    async def _tell_these(self, machines: Sequence[Machine]) -> None:
        relay = Relay(self._guards.relay.ask)
        published = {port.id for port in (await relay.list()).ports}
        taps = {tap.address: tap for tap in await self._guards.taps() if tap.address}
        for machine in machines:
            await self._tell_again(relay, machine, published, taps)
            self._told.add(machine.id)

    async def _tell_again(
        self, relay: Relay, machine: Machine, published: Set[str], taps: Mapping[str, HeldTap]
    ) -> None:
        """`published`: IDs of ports; `taps`: by the addresses that are bound to them. Nothing for a machine that ended
        while others were told of."""
        runs = True
        with contextlib.suppress(Refused):
            runs = await tell_while_it_runs(self._lives, relay, machine)
        if not runs:
            return
        for port in await publish_again(relay, machine, published):
            self._warn(machine, f"a published port is closed since the relay was started again: {port}")
        tap, live = taps.get(machine.address), self._lives.get(machine)
        if live is None or live.gone.is_set():
            return
        if tap is not None:
            note_passage(self._lives.holdings.resources, self._guards, machine, tap.key)
            wanted = numbers_of(self._lives.registry, machine)
            await settle_joins(Keeper(self._guards.keeper.ask), tap.key, tap.networks, wanted)
            if self._sleeps(live):
                in_background(self._note_sleep(live), f"the sleep of {machine.name}")
        else:
            self._warn(
                machine, "it has no network until it is started again: its keeper and the daemon were killed"
            )

    def _warn(self, machine: Machine, warning: str) -> None:
        if warning not in machine.warnings:
            with contextlib.suppress(Error):
                self._lives.registry.change(
                    machine,
                    lambda tell: tell_warning(tell, machine, warning),
                    warnings=(*machine.warnings, warning),
                )

    async def _note_sleep(self, live: LiveMachine) -> None:
        """The machine sleeps now, or no longer."""
        try:
            if self._is_live(live):
                await tell_while_it_runs(self._lives, Relay(self._guards.ask_relay), live.machine)
            await self._hang_bell(live)
        except (Error, Refused) as exc:
            log.warning("machine=%s keeper or relay do not hear of its sleep: %s", live.machine.name, exc)

    async def _hang_bell(self, live: LiveMachine) -> None:
        """Hang a bell for neighbours if the machine sleeps; otherwise take the bell down."""
        machine = live.machine
        self._bells.take_down(machine.id)
        if not self._sleeps(live):
            return
        descriptor = await Keeper(self._guards.ask_keeper).bell(
            tap_of(self._lives.holdings.resources, machine)
        )
        if not self._sleeps(live):  # it woke, or ended, meanwhile
            close_all([descriptor])
            return
        self._bells.hang(
            machine.id,
            descriptor,
            lambda: in_background(self._wake_for_neighbour(live), f"wake {machine.name}"),
        )

    async def _wake_for_neighbour(self, live: LiveMachine) -> None:
        await self._wake(live.machine)
        if self._sleeps(live):
            await asyncio.sleep(_PAUSE_S)
            await self._note_sleep(live)

    def _is_live(self, live: LiveMachine) -> bool:
        return self._lives.get(live.machine) is live

    def _sleeps(self, live: LiveMachine) -> bool:
        return self._is_live(live) and live.machine.pause_cause is PauseCause.IDLE

    async def _listen(self) -> None:
        if await self._guards.ready():
            return
        with contextlib.suppress(OSError, TimeoutError, Refused):  # then the relay is a new one soon
            await self._tell_all()
        while True:
            with contextlib.suppress(OSError, TimeoutError, Refused):
                await self._follow_events()
            await asyncio.sleep(_PAUSE_S)

    async def _follow_events(self) -> None:
        """Until the relay ends."""
        with await PacketConnection.connect(self._guards.relay.socket) as relay:
            await relay.ask("events")
            while True:
                self.hear(*await relay.next())

    def hear(self, packet: str, descriptors: tuple[int, ...] = ()) -> None:
        """Take an event of the relay, and the descriptors that came with it."""
        event = read_event(packet)
        live = self._lives.live.get(id_of(event.key)) if event is not None else None
        if live is not None and isinstance(event, Reach) and self._may_reach(live) and len(descriptors) == 1:
            client = socket.socket(fileno=descriptors[0])
            self._reaching[live.machine.id] += 1
            in_background(self._reach(live, event.guest_port, client), f"a client of {live.machine.name}")
            return
        close_all(descriptors)
        if live is not None and isinstance(event, Denied):
            self._note_denied(live.machine, event)
        elif live is not None and isinstance(event, Knock):
            in_background(self._wake(live.machine), f"wake {live.machine.name}")

    def _may_reach(self, live: LiveMachine) -> bool:
        """Whether one more client may wait for the machine's agent, or be connected by it. A flood of clients is reset
        here, before each costs a descriptor for long."""
        of_machine, of_all = self._reaching[live.machine.id], self._reaching.total()
        return of_machine < CONNECTIONS_MAX and of_all < _REACHING_MAX

    async def _reach(self, live: LiveMachine, port: int, client: socket.socket) -> None:
        try:
            with carried(client):
                async with awake(self._lives, live.machine) as live, connected(live, port) as guest:
                    await carry(guest, client)
        except (Error, OSError) as exc:
            log.debug("machine=%s the connection to port %d ended: %s", live.machine.name, port, exc)
        finally:
            self._reaching[live.machine.id] -= 1
            self._reaching += Counter()  # forgets who has none

    def _note_denied(self, machine: Machine, event: Denied) -> None:
        target = (event.protocol, event.address, event.port)
        self._denied[machine.id] = self._denied.get(machine.id, 0) + event.count
        kept = self._denials.get(machine.id)
        if kept is None:
            kept = self._denials[machine.id] = {}
        known = kept.get(target)
        if known is not None:
            kept[target] = msgspec.structs.replace(known, count=known.count + event.count)
        elif len(kept) < _DENIALS_KEPT:
            kept[target] = Denial(
                protocol=event.protocol,
                address=event.address,
                port=event.port,
                rule=event.rule,
                count=event.count,
                allow=_find_opening(event),
            )
            if len(kept) <= _TOLD_MAX:
                tell_denied(self._lives.tell, machine, kept[target])

    async def _wake(self, machine: Machine) -> None:
        try:
            async with awake(self._lives, machine):
                pass
        except Error as exc:
            log.warning("machine=%s does not wake: %s", machine.name, exc.message)


def _find_opening(event: Denied) -> str:
    """The value of --allow that would have allowed this; empty if none would."""
    try:
        return find_opening(event.address, event.port, event.rule)
    except ValueError:  # not an address: the relay and this daemon are of different versions
        return ""
