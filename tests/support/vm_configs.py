"""What a VMM is asked to start, in tests that start nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from banger.vmm.base import VmConfig, VmPlaces
from banger.vmm.link import UserNat


def vm_config(directory: Path = Path("/nowhere"), **fields: Any) -> VmConfig:
    """A VM named "dev" below `directory`; `fields` as in `VmConfig`."""
    usual: dict[str, Any] = {
        "places": VmPlaces(name="dev", directory=directory, run_directory=directory),
        "marker": "m",
        "vmlinux": directory / "vmlinux",
        "initramfs": directory / "initramfs.cpio",
        "modules_disk": directory / "modules.ext4",
        "image_disk": directory / "image.ext4",
        "disk_bytes": 0,
        "cpus": 2,
        "memory_mib": 512,
        "accel": "tcg",
        "link": UserNat("52:54:00:00:00:01"),
    }
    return VmConfig(**{**usual, **fields})
