"""Names of Firecracker's files and sockets, of a VM and of a frozen VM.

Firecracker runs in the VM's directory, and knows everything that is written into a state by a name there: the disks,
and the agent's socket, which a link leads to. So a clone, whose state has these names, finds its own files and makes
its own socket.
"""

from __future__ import annotations

from pathlib import Path

from banger.vmm.base import VmPlaces

DISK = "root.raw"
MEMORY = "memory"
STATE = "state"
# Written by Firecracker for a capture. They stay in place, empty, because its jail has them from the start.
WRITTEN_MEMORY = "written.memory"
WRITTEN_STATE = "written.state"
CONFIGURATION = "config.json"
# A pipe for what Firecracker counts.
METRICS = "metrics"
# Links: to the disk of the kernel's modules, and to the directory of the sockets.
MODULES_LINK = "modules"
SOCKETS_LINK = "sockets"
AGENT_SOCKET = f"{SOCKETS_LINK}/agent.sock"
CONTROL_SOCKET = f"{SOCKETS_LINK}/api.sock"


def disk(directory: Path) -> Path:
    """The disk of a VM or of a frozen VM: the file itself, sparse."""
    return directory / DISK


def memory(directory: Path) -> Path:
    """The memory of a frozen VM, sparse; in the directory of a clone, a link to it."""
    return directory / MEMORY


def state(directory: Path) -> Path:
    """The state of the devices and processors of a frozen VM; in the directory of a clone, a link to it."""
    return directory / STATE


def sockets(places: VmPlaces) -> Path:
    """The directory that Firecracker makes its sockets in."""
    return places.run_directory / "vmm"


def agent_socket(places: VmPlaces) -> Path:
    return sockets(places) / Path(AGENT_SOCKET).name


def control_socket(places: VmPlaces) -> Path:
    return sockets(places) / Path(CONTROL_SOCKET).name


def written(places: VmPlaces) -> tuple[Path, ...]:
    """The files that Firecracker writes to, and its pipe."""
    return tuple(places.directory / name for name in (DISK, WRITTEN_STATE, WRITTEN_MEMORY, METRICS))


def metrics(places: VmPlaces) -> Path:
    return places.directory / METRICS


def only_while_it_runs(directory: Path) -> tuple[Path, ...]:
    """What is made for a process of Firecracker, in the directory of its VM."""
    names = (CONFIGURATION, METRICS, MODULES_LINK, SOCKETS_LINK, WRITTEN_STATE, WRITTEN_MEMORY)
    return tuple(directory / name for name in names)
