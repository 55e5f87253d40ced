"""Paths of this host in requests. The daemon opens them, so only users may send them who could open the files
themselves."""

from __future__ import annotations

import os

from banger.errors import Error
from banger.images.records.rootfs import PREFIX as ROOTFS
from banger.images.reference.reference import PATH_TRANSPORTS
from banger.model.machine import MachineSpec
from banger.model.principal import Principal


def refuse_sources_of_others(principal: Principal, source: str) -> None:
    """Refuse an image reference with a path of this host, as `refuse_path_of_others`."""
    if source.startswith((*PATH_TRANSPORTS, ROOTFS)):
        refuse_path_of_others(principal, source.partition(":")[2])


def refuse_mounts_of_others(principal: Principal, spec: MachineSpec) -> None:
    """Refuse directories of this host, as `refuse_path_of_others`."""
    if spec.mounts and not _may_name_paths(principal):
        raise Error(
            "not_permitted",
            f"{spec.mounts[0].source}: the daemon shares files only {_for_whom(principal)}",
            "copy them: banger vm cp SRC NAME:DST",
        )


def refuse_path_of_others(principal: Principal, path: str) -> None:
    """Raises `not_permitted` for a path from a user who is neither the daemon's own nor root, or who is not at this
    host's socket."""
    if not _may_name_paths(principal):
        raise Error(
            "not_permitted",
            f"{path}: the daemon opens files only {_for_whom(principal)}",
            "send the contents: tar -C DIRECTORY -c . | banger image import NAME -",
        )


def _may_name_paths(principal: Principal) -> bool:
    return principal.is_local and principal.uid in (0, os.geteuid())


def _for_whom(principal: Principal) -> str:
    return "for the user that it runs as" if principal.is_local else "for users of its own host"
