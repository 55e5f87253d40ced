"""Frozen machines: templates, which banger makes to start machines from, and snapshots, which users make to go back
to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from banger.model.machine import MachineSpec
from banger.model.network import LinkKind


class Shape(Struct, kw_only=True, frozen=True):
    """Everything that a frozen machine depends on. A machine can continue only where all of it is the same.

    `initramfs` identifies kernel modules and agent, `driver_build` the program that ran the machine. `disk_bytes` is
    the size of the root disk at the time of the freeze; clones may have a larger disk. `link` is the kind of the
    network link, empty for a machine that an earlier version froze.
    """

    format: int
    image_digest: str
    kernel_digest: str
    initramfs: str
    driver: str
    driver_build: str
    host_cpu: str
    accel: str
    cpus: int
    memory_mib: int
    init: str
    disk_bytes: int
    link: LinkKind = ""


class Template(Struct, kw_only=True):
    """A machine that was frozen before it had any data of a user. `id` is the digest of its shape. `size_bytes` is the
    disk space that it takes. `ready` is the number of clones that wait in the pool. `stale` says which of its inputs
    has changed since."""

    id: str
    image: str
    kernel: str
    shape: Shape
    created: str
    used: str
    boot_ms: float
    size_bytes: int
    ready: int = 0
    stale: str = ""


class Snapshot(Struct, kw_only=True):
    """The saved state of a machine: memory, devices and disk. The machine's name and a tag identify a snapshot, which
    outlives the machine. `digest` is the digest of its contents, known after an export or import."""

    id: str
    machine: str
    tag: str
    created: str
    image: str
    kernel: str
    shape: Shape
    spec: MachineSpec
    size_bytes: int
    digest: str = ""


# `$` alone would let a line end follow.
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
TagOrNone = Annotated[str, Meta(max_length=64, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$(?!\n)")]
