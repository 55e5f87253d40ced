"""What a machine came from at its latest start: facts for programs."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class _Origin(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """`kind` tells origins from one another."""


class Booted(_Origin, frozen=True, tag="boot"):
    """The machine booted by itself."""


class ClonedFromTemplate(_Origin, frozen=True, tag="template"):
    """The machine is a clone of a template, which has the id `template`."""

    template: str


class RestoredFromSnapshot(_Origin, frozen=True, tag="snapshot"):
    """The machine continues from the snapshot `tag` of the machine with the name `machine`."""

    machine: str
    tag: str


class ForkedFrom(_Origin, frozen=True, tag="fork"):
    """The machine is a fork of the machine with the name `machine`."""

    machine: str


Origin: TypeAlias = Booted | ClonedFromTemplate | RestoredFromSnapshot | ForkedFrom
