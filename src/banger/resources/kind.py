"""The contract of a kind of resource."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from banger.host.paths import Paths
from banger.host.proc import ProcessRef
from banger.store.resources import Identity

AGAIN = "remove the cause (a mount, missing rights, a read-only disk), then run: banger system reconcile"


class Told(NamedTuple):
    """Something that another program holds: the program's control socket, and the key of the thing."""

    socket: Path
    key: str


Target = ProcessRef | Path | Told


class Kind(ABC):
    """`name` is the kind in records. With `is_runtime`, a machine holds the resource only while its VMM runs."""

    name: str
    is_runtime: bool

    @abstractmethod
    async def release(self, identity: Identity) -> None:
        """Release a resource, from its record alone; a resource that is gone already is no error. Raises
        `not_released`, OSError."""

    @abstractmethod
    def describe(self, identity: Identity) -> str:
        """The resource in words, for people."""

    @abstractmethod
    def find(self, paths: Paths) -> Iterator[Found]:
        """Everything of this kind on the host that belongs to this home. Blocking."""

    @abstractmethod
    async def remove(self, target: Target) -> bool:
        """Remove something that was found without a record. Returns whether it is gone. Raises OSError."""


@dataclass(frozen=True)
class Found:
    """Something that was found on the host. The identity in its record, if there is one, has `key`: a marker, a path or
    a key. `noun` is the kind, for people."""

    kind: Kind
    noun: str
    what: str
    key: str
    target: Target
