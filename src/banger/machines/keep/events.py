"""The journal: what happens is told here, kept in the store, and heard by whoever follows.

A follower has a place in the journal and nothing else: it reads the table at its own pace, so a slow one holds up
nobody, and one that falls behind what is kept hears how much it missed.
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
from banger.model.machine import Machine, MachineState
from banger.store.events import EventTable

log = logging.getLogger("banger.journal")

_PAGE = 500
GAP = "journal.gap"
_RESUMED = (MachineState.PAUSED, MachineState.RUNNING)


@dataclass(frozen=True)
class Wish:
    """What a reader wants: events after a number, from a moment on (as records write it), of one machine. `after`
    None: all that are kept; with `follow` but neither `after` nor `since`: those to come."""

    after: int | None = None
    since: str = ""
    machine: str = ""
    follow: bool = False


class Journal:
    """Lives as long as the daemon; used from its event loop. Followers hear of what is committed."""

    def __init__(self, table: EventTable) -> None:
        self._table = table
        self._newest = table.newest()
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, kind: str, target: str, message: str, /, **data: object) -> None:
        """Write it down (with what the caller's transaction writes), wake those who follow."""
        self._table.append(kind, target, message, data, self._written)

    def _written(self, seq: int) -> None:
        self._newest = seq
        self._wake()

    def try_to_tell(self, kind: str, target: str, message: str, /, **data: object) -> None:
        """As `tell`, of what happens whether or not there is room on the disk to write it down."""
        try:
            self.tell(kind, target, message, **data)
        except Error as exc:
            log.warning("%s: %s: %s", target, message, exc.message)

    def close(self) -> None:
        """No more events: followers hear what there is, and end."""
        self._closed = True
        self._wake()

    async def read(self, wish: Wish) -> AsyncIterator[list[Event]]:
        """Events in their order, some at a time; with `follow` without end."""
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
        """The number before the first one to be read."""
        if wish.after is not None:
            return wish.after
        return self._newest if wish.follow and not wish.since else 0

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _with_gaps(page: list[Event], place: int, wish: Wish) -> Iterator[Event]:
    """The events of a page that are wanted, and a word wherever some are missing."""
    for event in page:
        missed = event.seq - place - 1
        if missed and _would_notice(event, place, wish):
            yield _gap(event.seq - 1, f"{missed} events are no longer kept", missed)
        place = event.seq
        if event.time >= wish.since and (not wish.machine or is_about(event, wish.machine)):
            yield event


def _would_notice(event: Event, place: int, wish: Wish) -> bool:
    """Who asked for all that is kept does not miss what was before it."""
    return place > 0 or wish.after is not None or bool(wish.since and event.time > wish.since)


def _gap(seq: int, message: str, missed: int) -> Event:
    return Event(seq=seq, time=now(), kind=GAP, target="journal", message=message, data={"missed": missed})


def is_about(event: Event, machine: str) -> bool:
    """A machine, its snapshots, and operations on either."""
    kind, _, name = event.target.partition("/")
    return kind in ("machine", "snapshot") and name.partition(":")[0] == machine


# What a move is called, by the state that it leads to.
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


def tell_moved(tell: Tell, machine: Machine, was: MachineState) -> None:
    """It has another state than it had. Why is there in words, as a code, and with all that is known of its end."""
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


def tell_restart(tell: Tell, machine: Machine, pause_s: float, restarts: int) -> None:
    tell(
        "machine.restarting",
        f"machine/{machine.name}",
        f"{machine.name} starts again in {pause_s:g} s",
        id=machine.id,
        pause_s=pause_s,
        restarts=restarts,
    )


# What an agent may tell unasked, and what that means.
_FROM_GUESTS = {
    "oom": "the guest ran out of memory",
    "init_exited": "the image's init could not be started, or has ended",
    "agent_restarted": "the agent was killed and started again",
}
_FROM_ONE_GUEST = 100


def hear_guest(tell: Tell, live: LiveMachine) -> Callable[[str, str], None]:
    """For `LiveMachine.on_event`. No guest can fill the journal: it has so many events a life, of known codes."""
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
