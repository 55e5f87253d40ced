"""What a check is, what it sees, and how that is put right."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from banger.doctor.host import Host
from banger.host.thread import Crew
from banger.model.doctor import Status

T = TypeVar("T")
# So many that a dead file system, which holds up all who look at it, holds up nobody else.
_LOOKS = Crew("look", 100)


@dataclass(frozen=True)
class Mend:
    """`command` is shell. `packages` are Debian's, to be installed together with those of other checks. `act` is what
    --fix calls instead, with what it did as its answer; it needs no root. Raises `Error`, OSError. `optional` is what
    mends a mere hint."""

    command: str = ""
    root: bool = False
    packages: tuple[str, ...] = ()
    act: Callable[[Host], str] | None = None
    optional: bool = False

    @property
    def text(self) -> str:
        """As a user would type it."""
        command = self.command or plan_install(self.packages)
        return f"sudo {command}" if self.root and os.geteuid() != 0 else command


class Sight(NamedTuple):
    """What a look showed. Without a `status` it is the check's own, unless `fine`; likewise with `why`."""

    found: str
    fine: bool = True
    mend: Mend | None = None
    status: Status | None = None
    why: str = ""


@dataclass(frozen=True)
class Check:
    """`status` is what it means when `look` does not like what it sees, `why` what it keeps from working."""

    name: str
    status: Status
    why: str
    look: Callable[[Host], Awaitable[Sight]] = field(repr=False)


def install(*packages: str) -> Mend:
    return Mend(root=True, packages=packages)


def advise(text: str) -> Mend:
    """For what no command can do, or none should do unasked."""
    return Mend(f"# {text}")


def plan_install(packages: tuple[str, ...]) -> str:
    return "apt-get install --no-install-recommends --yes " + " ".join(packages)


def blocking(look: Callable[[Host], Sight]) -> Callable[[Host], Awaitable[Sight]]:
    """A look that waits for the disk or for a socket."""

    async def looked(host: Host) -> Sight:
        return await in_thread(lambda: look(host))

    return looked


async def in_thread(work: Callable[[], T]) -> T:
    """Nobody waits for a thread that never comes back: a file system whose server is gone holds it for good."""
    return await _LOOKS.run(work, patience_s=0)
