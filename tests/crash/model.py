"""What must be true of machines, snapshots and images, whatever was killed when.

Before a move begins the model is widened to all that may be found if it is cut off anywhere; its answer narrows it
again. Whatever is found must lie within, and is what the model knows from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from banger.model.machine import Machine

ABSENT = "absent"
SETTLED = frozenset({"created", "running", "paused", "stopped", "failed"})
ALIVE = frozenset({"running", "paused"})
# A start that was cut off: never half of one.
CUT_OFF = frozenset({"created", "running", "stopped", "failed"})


class Violation(Exception):
    """Something is not as it must be."""


@dataclass
class Guest:
    """A machine: the states it may be in once all is settled; its VMM's pid while that must stay the same (0: any);
    the numbers of the files that its user was told are on its disk."""

    name: str
    may: frozenset[str]
    pid: int = 0
    files: frozenset[int] = frozenset()

    def is_surely(self, *states: str) -> bool:
        return self.may <= set(states)

    def lose_track(self, *states: str) -> None:
        """It may be in these states too, with any VMM."""
        self.may |= set(states)
        self.pid = 0

    def become(self, state: str) -> None:
        self.may = frozenset({state})
        self.pid = 0


@dataclass
class Kept:
    """A snapshot. `sure`: it is there; otherwise it is there as a whole, or not at all."""

    machine: str
    tag: str
    files: frozenset[int]
    sure: bool = False


@dataclass
class Model:
    guests: dict[str, Guest] = field(default_factory=dict)
    kept: dict[tuple[str, str], Kept] = field(default_factory=dict)
    images: dict[str, bool] = field(default_factory=dict)
    litters: list[list[str]] = field(default_factory=list)  # names that are there all, or not at all

    def add(self, name: str, *may: str, files: frozenset[int] = frozenset()) -> Guest:
        guest = self.guests[name] = Guest(name, frozenset(may), files=files)
        return guest

    def surely(self, *states: str) -> list[Guest]:
        """Guests that are in one of these states, in the order of their making."""
        return [guest for guest in self.guests.values() if guest.is_surely(*states)]

    def sure_snapshots(self) -> list[Kept]:
        return [kept for kept in self.kept.values() if kept.sure]

    def compare_machines(self, found: Iterable[Machine]) -> None:
        """Raises `Violation`; afterwards what was found is what is known."""
        present = {machine.name: machine for machine in found}
        if unknown := sorted(set(present) - set(self.guests)):
            raise Violation(f"machines that nobody asked for: {unknown}")
        for litter in self.litters:
            if len(set(litter) & set(present)) not in (0, len(litter)):
                raise Violation(f"of {_listed(litter)} there are only some")
        self.litters.clear()
        for guest in list(self.guests.values()):
            machine = present.get(guest.name)
            if machine is not None:
                _compare(guest, machine)
            elif ABSENT in guest.may:
                del self.guests[guest.name]
            else:
                raise Violation(f"{guest.name} is gone; it may be {_listed(guest.may)}")

    def compare_snapshots(self, found: Iterable[tuple[str, str]]) -> None:
        present = set(found)
        if unknown := sorted(present - set(self.kept)):
            raise Violation(f"snapshots that nobody asked for: {unknown}")
        for key, kept in list(self.kept.items()):
            if key in present:
                kept.sure = True
            elif kept.sure:
                raise Violation(f"the snapshot {kept.machine}:{kept.tag} is gone")
            else:
                del self.kept[key]

    def compare_images(self, found: Iterable[str]) -> None:
        present = set(found)
        if unknown := sorted(present - set(self.images)):
            raise Violation(f"images that nobody asked for: {unknown}")
        for name, sure in list(self.images.items()):
            if name in present:
                self.images[name] = True
            elif sure:
                raise Violation(f"the image {name} is gone")
            else:
                del self.images[name]


def _compare(guest: Guest, machine: Machine) -> None:
    state = machine.state.value
    if state not in guest.may:
        raise Violation(f"{guest.name} is {state} ({machine.reason}); it may be {_listed(guest.may)}")
    if state in ALIVE and not machine.pid:
        raise Violation(f"{guest.name} is {state} and has no VMM")
    if guest.pid and machine.pid != guest.pid:
        raise Violation(f"{guest.name} had the VMM {guest.pid}, and has {machine.pid} now")
    if state == "failed" and not machine.reason:
        raise Violation(f"{guest.name} failed without a reason")
    guest.may = frozenset({state})
    guest.pid = machine.pid if state in ALIVE else 0


def _listed(states: Iterable[str]) -> str:
    return " or ".join(sorted(states))
