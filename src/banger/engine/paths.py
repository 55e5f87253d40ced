"""Paths of this host in requests: the daemon opens them, so they may come only from who could open them anyway."""

from __future__ import annotations

import os

from banger.errors import Error
from banger.images.records.rootfs import PREFIX as ROOTFS
from banger.images.reference.reference import PATH_TRANSPORTS
from banger.model.principal import Principal


def refuse_sources_of_others(principal: Principal, source: str) -> None:
    """Of an image reference: as `refuse_path_of_others` where it names a file or directory of this host."""
    if source.startswith((*PATH_TRANSPORTS, ROOTFS)):
        refuse_path_of_others(principal, source.partition(":")[2])


def refuse_path_of_others(principal: Principal, path: str) -> None:
    """Raises `not_permitted` for a path from a user who is neither the daemon's own nor root."""
    if principal.uid not in (0, os.geteuid()):
        raise Error(
            "not_permitted",
            f"{path}: the daemon opens files only for the user that it runs as",
            "send the contents: tar -C DIRECTORY -c . | banger image import NAME -",
        )
