"""Paths of this host in requests: the daemon opens them, so they may come only from who could open them anyway."""

from __future__ import annotations

import os

from banger.errors import Error
from banger.model.principal import Principal

# What begins with these names a file or directory of this host.
_PREFIXES = ("path:", "oci:", "oci-archive:", "docker-archive:", "tar:", "rootfs:")


def refuse_paths_of_others(principal: Principal, source: str) -> None:
    """Raises `not_permitted` for a path from a user who is neither the daemon's own nor root."""
    if source.startswith(_PREFIXES) and principal.uid not in (0, os.geteuid()):
        raise Error(
            "not_permitted",
            f"{source.partition(':')[2]}: the daemon opens files only for the user that it runs as",
            "send the contents: tar -C DIRECTORY -c . | banger image import NAME -",
        )
