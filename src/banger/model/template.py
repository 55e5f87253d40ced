"""Frozen machines: templates, made by banger to start others from, and snapshots, made by users to go back to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from banger.model.machine import MachineSpec


class Shape(Struct, kw_only=True, frozen=True):
    """All that a frozen machine depends on; two that differ in any of it are strangers.

    `initramfs` names kernel modules and agent, `driver_build` the very program that ran it; `disk_bytes` is
    the size of the root disk at the freeze, which clones may grow.
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


class Template(Struct, kw_only=True):
    """A machine frozen before anything of a user was in it. `id` is the digest of its shape; `size_bytes` what it
    takes on disk; `ready` counts clones that wait in the pool; `stale` says which of its inputs has changed since."""

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
    """A machine as it was: memory, devices, disk. Known by the machine's name and a tag, and outlives the machine.
    `digest` is the content's, known once it was exported or imported."""

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
