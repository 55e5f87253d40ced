"""What a kind of resource is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from banger.host.paths import Paths
from banger.host.proc import ProcessRef
from banger.store.resources import Identity

AGAIN = "remove the cause (a mount, missing rights, a read-only disk), then run: banger system reconcile"

Target = ProcessRef | Path


class Kind(ABC):
    """`name` is what records say; `is_runtime`: held only while the VMM runs."""

    name: str
    is_runtime: bool

    @abstractmethod
    async def release(self, identity: Identity) -> None:
        """Undo it, from its record alone; what is gone already is fine. Raises `not_released`, OSError."""

    @abstractmethod
    def describe(self, identity: Identity) -> str:
        """What it is, for people."""

    @abstractmethod
    def find(self, paths: Paths) -> Iterator[Found]:
        """Everything of this kind on the host in the name of this home. Blocking."""

    @abstractmethod
    async def remove(self, target: Target) -> bool:
        """Of something that was found and that no record leads to; whether it is gone."""


@dataclass(frozen=True)
class Found:
    """A record that leads to it has `key`, a marker or a path, in its identity. `noun` is the kind, for people."""

    kind: Kind
    noun: str
    what: str
    key: str
    target: Target
