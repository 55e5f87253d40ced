"""The steps by which the machines of a project become as its file says. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from banger.compose.project import Facts
from banger.compose.records import Member

Action: TypeAlias = Literal["keep", "start", "make", "remake"]


@dataclass(frozen=True)
class Step:
    """What to do for one machine that the file asks for. `was` is its record, if there is one."""

    action: Action
    service: str
    name: str
    spec: Facts
    was: Member | None = None


@dataclass(frozen=True)
class Plan:
    """`stages` are steps that may go on at the same time, each stage after the one before. `surplus` are machines of a
    service that has fewer now; `orphans` are of services that the file does not have."""

    stages: tuple[tuple[Step, ...], ...]
    surplus: tuple[Member, ...]
    orphans: tuple[Member, ...]
