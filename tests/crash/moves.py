"""The operations: what each does to the daemon, and what it means for the model while it runs and once it answered.

A move is begun in a thread of its own and may be cut off anywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from random import Random
from typing import Any, ClassVar

from banger.client.answers import encode
from banger.client.calls import machines_run_target
from banger.client.results import prepare_spec
from banger.client.stream import begin_stream, collect
from banger.client.sync import Client
from banger.model.machine import RunRequest
from banger.model.operation import Operation
from tests.crash.model import ABSENT, CUT_OFF, Guest, Kept, Model
from tests.support.home import IMAGE

MOST_MACHINES = 6
MOST_SNAPSHOTS = 4
FILES = "/srv/crash"
_GRACE_S = 5


class Move(ABC):
    """One operation on `target`, a machine's name; `operation` is its id once the daemon has named one."""

    kind: ClassVar[str]
    # Whether another move on the same machine may run beside it.
    may_clash: ClassVar[bool] = False

    def __init__(self, target: str) -> None:
        self.target = target
        self.operation = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.target}".rstrip()

    @abstractmethod
    def widen(self, model: Model) -> None:
        """All that may be found from now on, should it be cut off."""

    @abstractmethod
    def narrow(self, model: Model) -> None:
        """It is done."""

    @abstractmethod
    def perform(self, client: Client) -> None:
        """Returns when the daemon said that it is done; raises what the daemon said otherwise."""

    def finish(self, client: Client, begun: Operation[Any]) -> None:
        self.operation = begun.id
        client.operations.wait(begun.id)


class NewMachine(Move):
    """A name that nobody had before, and memory for it."""

    def __init__(self, target: str, memory_mib: int) -> None:
        super().__init__(target)
        self.memory_mib = memory_mib

    def __str__(self) -> str:
        return f"{self.kind} {self.target} ({self.memory_mib} MiB)"


class RunDetached(NewMachine):
    kind = "run -d"

    def widen(self, model: Model) -> None:
        model.add(self.target, ABSENT, *CUT_OFF)

    def perform(self, client: Client) -> None:
        spec = prepare_spec(IMAGE, None, name=self.target, memory_mib=self.memory_mib, ports=["0:80"])
        collect(
            begin_stream(client.dial, machines_run_target(), encode(RunRequest(spec=spec, detach=True))), b""
        )

    def narrow(self, model: Model) -> None:
        model.guests[self.target].become("running")


class RunRemoved(NewMachine):
    """Its command ends at once, and whatever happens it is gone soon after."""

    kind = "run --rm"

    def widen(self, model: Model) -> None:
        model.add(self.target, ABSENT)

    def perform(self, client: Client) -> None:
        client.machines.run(
            IMAGE, ["sleep", "0.2"], name=self.target, memory_mib=self.memory_mib, remove=True
        ).check()

    def narrow(self, model: Model) -> None:
        """It was to be gone anyhow."""


class Create(NewMachine):
    kind = "create"

    def widen(self, model: Model) -> None:
        model.add(self.target, ABSENT, "created")

    def perform(self, client: Client) -> None:
        client.machines.create(IMAGE, name=self.target, memory_mib=self.memory_mib)

    def narrow(self, model: Model) -> None:
        model.guests[self.target].become("created")


class Start(Move):
    kind = "start"
    may_clash = True

    def widen(self, model: Model) -> None:
        model.guests[self.target].lose_track("running", "stopped", "failed")

    def perform(self, client: Client) -> None:
        self.finish(client, client.machines.start(self.target))

    def narrow(self, model: Model) -> None:
        model.guests[self.target].become("running")


class Stop(Move):
    kind = "stop"
    may_clash = True

    def widen(self, model: Model) -> None:
        model.guests[self.target].lose_track("stopped")

    def perform(self, client: Client) -> None:
        self.finish(client, client.machines.stop(self.target, grace_s=_GRACE_S))

    def narrow(self, model: Model) -> None:
        model.guests[self.target].become("stopped")


class Kill(Stop):
    kind = "kill"

    def perform(self, client: Client) -> None:
        client.machines.kill(self.target)


class Pause(Move):
    """The VMM stays the same, whenever it is cut off."""

    kind = "pause"
    may_clash = True

    def widen(self, model: Model) -> None:
        model.guests[self.target].may |= {"paused"}

    def perform(self, client: Client) -> None:
        client.machines.pause(self.target)

    def narrow(self, model: Model) -> None:
        model.guests[self.target].may = frozenset({"paused"})


class Resume(Move):
    kind = "resume"
    may_clash = True

    def widen(self, model: Model) -> None:
        model.guests[self.target].may |= {"running"}

    def perform(self, client: Client) -> None:
        client.machines.resume(self.target)

    def narrow(self, model: Model) -> None:
        model.guests[self.target].may = frozenset({"running"})


class Delete(Move):
    kind = "delete -f"

    def widen(self, model: Model) -> None:
        model.guests[self.target].lose_track("stopped", ABSENT)

    def perform(self, client: Client) -> None:
        client.machines.delete(self.target, force=True)

    def narrow(self, model: Model) -> None:
        model.guests[self.target].become(ABSENT)


class Write(Move):
    """A file of which the guest says that it is on the disk."""

    kind = "write"

    def __init__(self, target: str, number: int) -> None:
        super().__init__(target)
        self.number = number

    def __str__(self) -> str:
        return f"write file {self.number} in {self.target}"

    def widen(self, model: Model) -> None:
        """Nothing is promised before the answer."""

    def perform(self, client: Client) -> None:
        script = f"mkdir -p {FILES} && cd {FILES} && echo {contents_of(self.number)} > {self.number}"
        client.machines.exec(
            self.target, ["sh", "-ec", f"{script} && sync {self.number} {FILES} /srv"], timeout_s=60
        ).check()

    def narrow(self, model: Model) -> None:
        model.guests[self.target].files |= {self.number}


class Fork(Move):
    """The parent goes on under the same VMM; a child is there and runs, or is not there."""

    kind = "fork"

    def __init__(self, target: str, children: list[str], stem: str) -> None:
        super().__init__(target)
        self.children = children
        self.stem = stem

    def __str__(self) -> str:
        return f"fork {self.target} into {' '.join(self.children)}"

    def widen(self, model: Model) -> None:
        for child in self.children:
            model.add(child, ABSENT, "running", files=model.guests[self.target].files)
        model.litters.append(self.children)

    def perform(self, client: Client) -> None:
        self.finish(client, client.machines.fork(self.target, len(self.children), self.stem))

    def narrow(self, model: Model) -> None:
        for child in self.children:
            model.guests[child].become("running")


class Tagged(Move):
    def __init__(self, target: str, tag: str) -> None:
        super().__init__(target)
        self.tag = tag

    def __str__(self) -> str:
        return f"{self.kind} {self.target}:{self.tag}"


class TakeSnapshot(Tagged):
    kind = "snapshot"

    def widen(self, model: Model) -> None:
        model.kept[self.target, self.tag] = Kept(self.target, self.tag, model.guests[self.target].files)

    def perform(self, client: Client) -> None:
        self.finish(client, client.machines.snapshot(self.target, self.tag))

    def narrow(self, model: Model) -> None:
        model.kept[self.target, self.tag].sure = True


class Restore(Tagged):
    """Cut off, its files are at least those that it had both then and now."""

    kind = "restore"

    def widen(self, model: Model) -> None:
        kept = model.kept[self.target, self.tag]
        guest = model.guests.get(self.target)
        if guest is None:
            model.add(self.target, ABSENT, "running", files=kept.files)
        else:
            guest.lose_track("running", "stopped", "failed")
            guest.files &= kept.files

    def perform(self, client: Client) -> None:
        self.finish(client, client.machines.restore(self.target, self.tag))

    def narrow(self, model: Model) -> None:
        guest = model.guests[self.target]
        guest.become("running")
        guest.files = model.kept[self.target, self.tag].files


class DeleteSnapshot(Tagged):
    kind = "delete snapshot"

    def widen(self, model: Model) -> None:
        model.kept[self.target, self.tag].sure = False

    def perform(self, client: Client) -> None:
        client.snapshots.delete(self.target, self.tag)

    def narrow(self, model: Model) -> None:
        del model.kept[self.target, self.tag]


class DeleteTemplates(Move):
    """The next machine's start makes one anew."""

    kind = "delete templates"

    def widen(self, model: Model) -> None:
        """Whatever is there afterwards is whole, and that is always looked at."""

    def perform(self, client: Client) -> None:
        client.templates.prune(all=True)

    def narrow(self, model: Model) -> None:
        """Templates are made again as soon as somebody wants one."""


class Commit(Move):
    kind = "commit"

    def __init__(self, target: str, image: str) -> None:
        super().__init__(target)
        self.image = image

    def __str__(self) -> str:
        return f"commit {self.target} as {self.image}"

    def widen(self, model: Model) -> None:
        model.images[self.image] = False

    def perform(self, client: Client) -> None:
        self.finish(client, client.machines.commit(self.target, self.image))

    def narrow(self, model: Model) -> None:
        model.images[self.image] = True


def contents_of(number: int) -> str:
    """What file `number` holds."""
    return f"contents-of-{number}"


class Chooser:
    """Moves that make sense now, drawn from `random`. Names and numbers are never used twice."""

    def __init__(self, model: Model, random: Random, prefix: str) -> None:
        self._model = model
        self._random = random
        self._prefix = prefix
        self._last = 0

    def choose(self, busy: set[str]) -> Move | None:
        """One that leaves the machines in `busy` alone."""
        free = [guest for guest in self._model.guests.values() if guest.name not in busy]
        choices = [*self._for_nobody(busy)]
        for guest in free:
            choices += self._for_guest(guest)
        for kept in self._model.sure_snapshots():
            if kept.machine not in busy:
                choices += self._for_snapshot(kept)
        if not choices:
            return None
        return self._random.choices([move for _, move in choices], [weight for weight, _ in choices])[0]

    def clash(self, move: Move) -> Move | None:
        """Another one on the same machine."""
        if not move.may_clash:
            return None
        kinds: list[type[Move]] = [Start, Stop, Kill, Pause, Resume]
        return self._random.choice(kinds)(move.target)

    def run(self) -> Move:
        return RunDetached(self._name(), self._memory_mib())

    def write(self, guest: Guest) -> Move:
        return Write(guest.name, self._number())

    def _for_nobody(self, busy: set[str]) -> list[tuple[float, Move]]:
        found: list[tuple[float, Move]] = []
        if "" not in busy:
            found.append((0.4, DeleteTemplates("")))
        if self._room():
            for weight, kind in ((4.0, RunDetached), (3.0, RunRemoved), (1.0, Create)):
                found.append((weight, kind(self._name(), self._memory_mib())))
        return found

    def _for_guest(self, guest: Guest) -> list[tuple[float, Move]]:
        name = guest.name
        if guest.is_surely("running"):
            found: list[tuple[float, Move]] = [
                (3.0, self.write(guest)),
                (0.7, Stop(name)),
                (0.4, Kill(name)),
                (1.0, Pause(name)),
                (0.4, Delete(name)),
                (0.15, Commit(name, f"{self._prefix}-image-{self._number()}:latest")),
            ]
            if len(self._model.kept) < MOST_SNAPSHOTS:
                found.append((2.5, TakeSnapshot(name, f"t{self._number()}")))
            return found + self._forks(name)
        if guest.is_surely("paused"):
            return [(2.0, Resume(name)), (0.5, Delete(name)), (0.5, Stop(name)), *self._forks(name)]
        if guest.is_surely("created", "stopped", "failed"):
            return [(3.0, Start(name)), (0.7, Delete(name))]
        return []

    def _forks(self, name: str) -> list[tuple[float, Move]]:
        stem, count = self._name(), min(self._random.choice((1, 2)), self._room())
        children = [f"{stem}-{number}" for number in range(1, count + 1)]
        return [(3.0, Fork(name, children, stem))] if children else []

    def _for_snapshot(self, kept: Kept) -> list[tuple[float, Move]]:
        found: list[tuple[float, Move]] = [(0.5, DeleteSnapshot(kept.machine, kept.tag))]
        guest = self._model.guests.get(kept.machine)
        was_there = guest is not None and guest.is_surely("running", "stopped", "failed", "paused")
        if was_there or (guest is None and self._room()):
            found.append((2.0, Restore(kept.machine, kept.tag)))
        return found

    def _room(self) -> int:
        return MOST_MACHINES - len(self._model.guests)

    def _name(self) -> str:
        return f"{self._prefix}-{self._number()}"

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _memory_mib(self) -> int:
        return self._random.choices((128, 256), (9, 1))[0]
