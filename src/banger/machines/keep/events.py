"""The journal: the daemon writes events into the store, and followers read them.

A follower is only a position in the journal and reads the table at its own pace, so a slow follower delays nothing. A
follower that falls behind the kept events is told how many it missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from banger.errors import Error
from banger.host.times import now
from banger.machines.life.live import LiveMachine
from banger.model.ending import kind_of
from banger.model.event import Event, Tell
from banger.model.healthcheck import HealthState
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.network import Denial
from banger.store.events import EventTable

log = logging.getLogger("banger.journal")

_PAGE = 500
GAP = "journal.gap"
_RESUMED = (MachineState.PAUSED, MachineState.RUNNING)


@dataclass(frozen=True)
class Wish:
    """The events that a reader wants: after a number, since a time (as records write times), of one machine. `after`
    None: all kept events, but with `follow` and without `since` only new events."""

    after: int | None = None
    since: str = ""
    machine: str = ""
    follow: bool = False


class Journal:
    """Lives as long as the daemon; used from its event loop. Followers get only events that are committed."""

    def __init__(self, table: EventTable) -> None:
        self._table = table
        self._newest = table.newest()
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, kind: str, target: str, message: str, /, **data: object) -> None:
        """Write an event (in the caller's transaction, if there is one), and wake followers."""
        self._table.append(kind, target, message, data, self._written)

    def _written(self, seq: int) -> None:
        self._newest = seq
        self._wake()

    def try_to_tell(self, kind: str, target: str, message: str, /, **data: object) -> None:
        """As `tell`, but a failed write is only logged: for things that happen even if the disk is full."""
        try:
            self.tell(kind, target, message, **data)
        except Error as exc:
            log.warning("%s: %s: %s", target, message, exc.message)

    def close(self) -> None:
        """End the journal: followers get the remaining events, then end."""
        self._closed = True
        self._wake()

    async def read(self, wish: Wish) -> AsyncIterator[list[Event]]:
        """Events in order, in lists; with `follow` endlessly."""
        place = self._begin(wish)
        while True:
            if place > self._newest:
                place = self._newest
                yield [_gap(place, "the journal lost its end; some events may be missing", 0)]
            changed = self._changed
            page = self._table.page(place, _PAGE)
            found = [*_with_gaps(page, place, wish)]
            place = page[-1].seq if page else place
            if found:
                yield found
            if len(page) == _PAGE:
                await asyncio.sleep(0)
            elif not wish.follow or self._closed:
                return
            else:
                await changed.wait()

    def _begin(self, wish: Wish) -> int:
        """The number before the first event to read."""
        if wish.after is not None:
            return wish.after
        return self._newest if wish.follow and not wish.since else 0

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _with_gaps(page: list[Event], place: int, wish: Wish) -> Iterator[Event]:
    """The wanted events of a page, with a gap event wherever events are missing."""
    for event in page:
        missed = event.seq - place - 1
        if missed and _would_notice(event, place, wish):
            yield _gap(event.seq - 1, f"{missed} events are no longer kept", missed)
        place = event.seq
        if event.time >= wish.since and (not wish.machine or is_about(event, wish.machine)):
            yield event


def _would_notice(event: Event, place: int, wish: Wish) -> bool:
    """Whether the reader must be told of a gap: a reader that asked for all kept events does not miss older events."""
    return place > 0 or wish.after is not None or bool(wish.since and event.time > wish.since)


def _gap(seq: int, message: str, missed: int) -> Event:
    return Event(seq=seq, time=now(), kind=GAP, target="journal", message=message, data={"missed": missed})


def is_about(event: Event, machine: str) -> bool:
    """Whether an event is about the machine or one of its snapshots (or an operation on one of these)."""
    kind, _, name = event.target.partition("/")
    return kind in ("machine", "snapshot") and name.partition(":")[0] == machine


# The words for a move, by the new state.
_MOVED = {
    MachineState.STARTING: "starts",
    MachineState.RUNNING: "is running",
    MachineState.PAUSED: "is paused",
    MachineState.STOPPING: "is being stopped",
    MachineState.STOPPED: "stopped",
    MachineState.FAILED: "failed",
    MachineState.DELETING: "is being deleted",
}


def tell_created(tell: Tell, machine: Machine) -> None:
    tell(
        "machine.created",
        f"machine/{machine.name}",
        f"{machine.name} was created from {machine.spec.image}",
        id=machine.id,
        image=machine.spec.image,
    )


def tell_deleted(tell: Tell, machine: Machine) -> None:
    tell("machine.deleted", f"machine/{machine.name}", f"{machine.name} was deleted", id=machine.id)


def tell_renamed(tell: Tell, machine: Machine, name: str) -> None:
    """Told before the record changes: of the machine under its old name."""
    words = f"{machine.name} is called {name} from now on"
    tell("machine.renamed", f"machine/{machine.name}", words, id=machine.id, name=name)


def tell_reset(tell: Tell, machine: Machine) -> None:
    tell("machine.reset", f"machine/{machine.name}", f"the disk of {machine.name} was removed", id=machine.id)


def tell_expired(tell: Tell, machine: Machine) -> None:
    tell(
        "machine.expired",
        f"machine/{machine.name}",
        f"the time to live of {machine.name} is over",
        id=machine.id,
        ttl_s=machine.spec.ttl_s,
    )


def tell_moved(tell: Tell, machine: Machine, was: MachineState) -> None:
    """Tell that the machine has a new state. The event has the reason in words and as a code, and all that is known of
    the machine's end."""
    words = "runs again" if (was, machine.state) == _RESUMED else _MOVED[machine.state]
    data: dict[str, object] = {"id": machine.id, "was": was.value}
    if machine.reason:
        data["reason"] = machine.reason
    if machine.pause_cause is not None:
        data["code"] = machine.pause_cause.value
    if machine.ending is not None:
        data["code"] = kind_of(machine.ending)
        data["ending"] = machine.ending
    if machine.state is MachineState.STOPPED and machine.exit is not None:
        data["exit"] = machine.exit
    tell(
        f"machine.{machine.state.value}",
        f"machine/{machine.name}",
        f"{machine.name} {words}" + (f": {machine.reason}" if machine.reason else ""),
        **data,
    )


def tell_adopted(tell: Tell, machine: Machine) -> None:
    tell(
        "machine.adopted",
        f"machine/{machine.name}",
        f"{machine.name} was taken over from an earlier daemon",
        id=machine.id,
        pid=machine.pid,
    )


def tell_forked(tell: Tell, machine: Machine, children: list[Machine]) -> None:
    names = [child.name for child in children]
    tell(
        "machine.forked",
        f"machine/{machine.name}",
        f"{machine.name} was forked: {' '.join(names)}",
        id=machine.id,
        children=names,
    )


def tell_warning(tell: Tell, machine: Machine, message: str) -> None:
    tell("machine.warning", f"machine/{machine.name}", f"{machine.name}: {message}", id=machine.id)


def tell_membership(tell: Tell, machine: Machine, network: str, spec: MachineSpec) -> None:
    """Tell that the machine is on the network from now on, or no longer, as its new `spec` says."""
    target, name = f"machine/{machine.name}", machine.name
    if any(membership.network == network for membership in spec.networks):
        tell(
            "network.connected", target, f"{name} is on the network {network}", id=machine.id, network=network
        )
    else:
        tell(
            "network.disconnected",
            target,
            f"{name} is off the network {network}",
            id=machine.id,
            network=network,
        )


def tell_denied(tell: Tell, machine: Machine, denial: Denial) -> None:
    host = f"[{denial.address}]" if ":" in denial.address else denial.address
    where = f"{host}:{denial.port}" if denial.port else denial.address
    tell(
        "network.denied",
        f"machine/{machine.name}",
        f"{machine.name} may not reach {where} ({denial.protocol})",
        id=machine.id,
        protocol=denial.protocol,
        address=denial.address,
        port=denial.port,
        rule=denial.rule,
        allow=denial.allow,
    )


def tell_health(tell: Tell, machine: Machine, health: HealthState, why: str) -> None:
    tell(
        f"machine.{health}",
        f"machine/{machine.name}",
        f"{machine.name} is {health}" + (f": {why}" if why else ""),
        id=machine.id,
        was=machine.health,
        why=why,
    )


def tell_restart(tell: Tell, machine: Machine, pause_s: float, restarts: int) -> None:
    tell(
        "machine.restarting",
        f"machine/{machine.name}",
        f"{machine.name} starts again in {pause_s:g} s",
        id=machine.id,
        pause_s=pause_s,
        restarts=restarts,
    )


# Events that an agent may send by itself, with their meaning.
_FROM_GUESTS = {
    "oom": "the guest ran out of memory",
    "init_exited": "the image's init could not be started, or has ended",
    "agent_restarted": "the agent was killed and started again",
}
_FROM_ONE_GUEST = 100


def hear_guest(tell: Tell, live: LiveMachine) -> Callable[[str, str], None]:
    """The handler for `LiveMachine.on_event`. A guest cannot fill the journal: it has a limited number of events per
    start, and only known codes."""
    heard = 0

    def hear(code: str, message: str) -> None:
        nonlocal heard
        meaning = _FROM_GUESTS.get(code)
        if meaning is None or heard >= _FROM_ONE_GUEST:
            return
        heard += 1
        name = live.machine.name
        words = f"{name}: {meaning}" + (f": {message}" if message else "")
        tell("machine.guest", f"machine/{name}", words, id=live.machine.id, code=code)

    return hear
