"""A directory or file of the host that a machine has at a path of its own."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

PathText = Annotated[str, Meta(min_length=1, max_length=4095, pattern=r"^/[^\x00]*\Z")]


class Mount(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is at `source` on the host is at `target` in the guest, with all changes that either makes. Both are
    absolute paths. With `read_only` the guest cannot change it."""

    source: PathText
    target: PathText
    read_only: bool = False
