"""What QEMU's files are called: those of a VM, and those of a frozen one."""

from __future__ import annotations

from pathlib import Path

from banger.vmm.base import VmPlaces

DISK = "root.qcow2"
MEMORY = "memory"
DEVICES = "devices"


def disk(directory: Path) -> Path:
    """Of a VM, or of a frozen one: see `layers`."""
    return directory / DISK


def memory(directory: Path) -> Path:
    """Of a frozen VM, sparse."""
    return directory / MEMORY


def devices(directory: Path) -> Path:
    """The state of the devices, of a frozen VM, and the own copy of a clone that loads it."""
    return directory / DEVICES


def agent_socket(places: VmPlaces) -> Path:
    return places.run_directory / "agent.sock"


def control_socket(places: VmPlaces) -> Path:
    return places.run_directory / "qmp.sock"
