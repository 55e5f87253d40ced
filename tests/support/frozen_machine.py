"""A snapshot's record as it is in a bundle, for whoever packs or unpacks one."""

from __future__ import annotations

from banger.model.machine import MachineSpec
from banger.model.template import Shape, Snapshot


def snapshot_record(disk_bytes: int) -> Snapshot:
    return Snapshot(
        id="5f",
        machine="build",
        tag="ready",
        created="2026-01-01T00:00:00Z",
        image="debian-bookworm",
        kernel="debian-cloud",
        shape=Shape(
            format=1,
            image_digest="1" * 64,
            kernel_digest="2" * 64,
            initramfs="3" * 64,
            driver="qemu",
            driver_build="10.0",
            host_cpu="x86_64",
            accel="kvm",
            cpus=2,
            memory_mib=512,
            init="agent",
            disk_bytes=disk_bytes,
        ),
        spec=MachineSpec(image="debian-bookworm"),
        size_bytes=1,
        digest="",
    )
