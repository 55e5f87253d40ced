"""The form of a check, of its finding, and of the repair."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from banger.doctor.host import Host
from banger.host.thread import Crew
from banger.model.doctor import Status

T = TypeVar("T")
# Enough threads: checks that hang on a dead file system do not block the others.
_LOOKS = Crew("look", 100)


@dataclass(frozen=True)
class Mend:
    """A repair. `command` is shell. `packages` are Debian's, to be installed together with those of other checks. `act`
    is what --fix calls instead: it needs no root, and returns what it did. Raises `Error`, OSError. `optional`: the
    repair is for a mere hint."""

    command: str = ""
    root: bool = False
    packages: tuple[str, ...] = ()
    act: Callable[[Host], str] | None = None
    optional: bool = False

    @property
    def text(self) -> str:
        """The command that a user would type."""
        command = self.command or prepare_install(self.packages)
        return f"sudo {command}" if self.root and os.geteuid() != 0 else command


class Sight(NamedTuple):
    """The finding of a check. Without `status` or `why`, those of the check apply, unless `fine`."""

    found: str
    fine: bool = True
    mend: Mend | None = None
    status: Status | None = None
    why: str = ""


@dataclass(frozen=True)
class Check:
    """`status` and `why` apply when `look` finds something wrong: how bad that is, and what does not work because of
    it."""

    name: str
    status: Status
    why: str
    look: Callable[[Host], Awaitable[Sight]] = field(repr=False)


def list_missing(missing: Mapping[str, str]) -> str:
    """The reasons in `missing`, by name: each reason once, with its names."""
    return "; ".join(
        f"not {', '.join(name for name, why in missing.items() if why == reason)}: {reason}"
        for reason in dict.fromkeys(missing.values())
    )


def install(*packages: str) -> Mend:
    return Mend(root=True, packages=packages)


def advise(text: str) -> Mend:
    """Advice for what no command can do, or should do without the user's decision."""
    return Mend(f"# {text}")


def prepare_install(packages: tuple[str, ...]) -> str:
    return "apt-get install --no-install-recommends --yes " + " ".join(packages)


def blocking(look: Callable[[Host], Sight]) -> Callable[[Host], Awaitable[Sight]]:
    """A check that waits for the disk or for a socket."""

    async def looked(host: Host) -> Sight:
        return await in_thread(lambda: look(host))

    return looked


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread. A cancellation does not wait for the thread: a dead file system may hold it forever."""
    return await _LOOKS.run(work, patience_s=0)
