"""Names of QEMU's files, of a VM and of a frozen VM."""

from __future__ import annotations

from pathlib import Path

from banger.vmm.base import VmPlaces

DISK = "root.qcow2"
MEMORY = "memory"
DEVICES = "devices"


def disk(directory: Path) -> Path:
    """The disk of a VM or of a frozen VM: see `layers`."""
    return directory / DISK


def memory(directory: Path) -> Path:
    """The memory of a frozen VM, sparse."""
    return directory / MEMORY


def devices(directory: Path) -> Path:
    """The state of the devices of a frozen VM; in the directory of a clone, its own copy."""
    return directory / DEVICES


def volume_layer(directory: Path, slot: int) -> Path:
    """What a VM writes to a volume that it has for reading only."""
    return directory / f"volume{slot}.qcow2"


def agent_socket(places: VmPlaces) -> Path:
    return places.run_directory / "agent.sock"


def shares_socket(places: VmPlaces) -> Path:
    return places.run_directory / "shares.sock"


def control_socket(places: VmPlaces) -> Path:
    return places.run_directory / "qmp.sock"
