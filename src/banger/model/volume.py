"""A named volume: a disk that machines mount, and that stays when they go."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from banger.errors import Error
from banger.model.labels import Labels
from banger.model.mount import PathText
from banger.model.sizes import GIB, MIB, TIB, format_size

NAME_PATTERN = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}\Z"
VolumeName = Annotated[str, Meta(pattern=NAME_PATTERN)]
# A disk takes as much of the host as was written to it.
USUAL_SIZE_BYTES = 10 * GIB
LEAST_SIZE_BYTES, MOST_SIZE_BYTES = 16 * MIB, 8 * TIB
_BLOCK_BYTES = 4096


class VolumeMount(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The volume of that name is at `target` in the guest. One machine at a time has a volume for writing; several have
    it with `read_only`, while no machine writes. An empty volume gets a copy of what the image has at `target`, unless
    `no_copy`."""

    volume: VolumeName
    target: PathText
    read_only: bool = False
    no_copy: bool = False


class VolumeUser(Struct, kw_only=True, frozen=True):
    """A machine that mounts the volume. `attached`: it has the disk now."""

    machine: str
    target: str
    read_only: bool = False
    attached: bool = False


class Volume(Struct, kw_only=True, frozen=True):
    """A named volume. `id` names its directory. `size_bytes` is the size of its disk. `made` is false until the disk is
    there, which is at the latest when the first machine starts with it. `used_bytes`, what the disk takes of the host,
    and `users` are only in answers, not in the record."""

    name: str
    id: str
    size_bytes: int = USUAL_SIZE_BYTES
    made: bool = False
    created: str = ""
    labels: Labels = {}
    used_bytes: int = 0
    users: tuple[VolumeUser, ...] = ()


def check_volume_name(name: str) -> str:
    """The name itself. Raises `bad_name`."""
    if not re.match(NAME_PATTERN, name):
        raise Error(
            "bad_name",
            f"{name[:140]!r} cannot be the name of a volume",
            "use up to 128 letters, digits, '_', '.' and '-', with a letter or a digit first",
        )
    return name


def check_volume_size(size_bytes: int) -> int:
    """The size, rounded up to whole blocks; 0 means the usual size. Raises `bad_size`."""
    size_bytes = -(-(size_bytes or USUAL_SIZE_BYTES) // _BLOCK_BYTES) * _BLOCK_BYTES
    if not LEAST_SIZE_BYTES <= size_bytes <= MOST_SIZE_BYTES:
        least, most = format_size(LEAST_SIZE_BYTES), format_size(MOST_SIZE_BYTES)
        raise Error("bad_size", f"a volume has {least} to {most}", "choose another --size")
    return size_bytes
