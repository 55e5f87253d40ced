"""What Firecracker is told: the configuration of a VM that boots, and the bodies of requests. Pure.

The order of the disks is that of the guest's devices: the agent finds its root as /dev/vda, the modules as /dev/vdb.
"""

from __future__ import annotations

from typing import Any

from banger.vmm.base import VmConfig
from banger.vmm.firecracker import names
from banger.vmm.link import Link, Tap

# The host is always number 2; there is one guest behind each socket.
_GUEST_CID = 3
_SECOND_MS = 1000


def plan_configuration(config: VmConfig) -> dict[str, Any]:
    """The file that Firecracker reads before it boots the guest."""
    return {
        "boot-source": {
            "kernel_image_path": str(config.vmlinux),
            "initrd_path": str(config.initramfs),
            "boot_args": plan_command_line(),
        },
        "machine-config": {"vcpu_count": config.cpus, "mem_size_mib": config.memory_mib},
        "drives": [
            plan_drive("root", names.DISK, read_only=False),
            plan_drive("modules", names.MODULES_LINK, read_only=True),
        ],
        "network-interfaces": plan_interfaces(config.link),
        "vsock": {"guest_cid": _GUEST_CID, "uds_path": names.AGENT_SOCKET},
        "entropy": {},
    }


def plan_command_line() -> str:
    """The kernel's command line. A guest ends by a reset: there is no other way that Firecracker notices. The i8042 has
    only a reset and Ctrl-Alt-Del, and to look for more takes the kernel half a second."""
    return " ".join(
        (
            *("console=ttyS0", "quiet", "loglevel=4", "panic=-1", "reboot=k"),
            *("i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "cryptomgr.notests"),
            *("banger.transport=vsock", "banger.poweroff=reset", "banger.modules=auto"),
        )
    )


def plan_ctrl_alt_del() -> dict[str, Any]:
    return {"action_type": "SendCtrlAltDel"}


def plan_drive(name: str, path: str, *, read_only: bool) -> dict[str, Any]:
    """With `Writeback`, what the guest syncs is synced on the host."""
    return {
        "drive_id": name,
        "path_on_host": path,
        "is_root_device": False,
        "is_read_only": read_only,
        "cache_type": "Unsafe" if read_only else "Writeback",
    }


def plan_interfaces(link: Link) -> list[dict[str, Any]]:
    """The name of the tap means nothing: the jail gives Firecracker the tap of the link, whatever the name is. A clone
    asks for the name in its state, and gets its own."""
    if not isinstance(link, Tap):
        return []
    return [{"iface_id": "eth0", "host_dev_name": "tap", "guest_mac": link.mac}]


def plan_rate(bytes_per_s: int, operations_per_s: int) -> dict[str, Any]:
    """The change of the root disk that limits it; 0: no limit."""
    return {
        "drive_id": "root",
        "rate_limiter": {"bandwidth": _bucket(bytes_per_s), "ops": _bucket(operations_per_s)},
    }


def _bucket(per_second: int) -> dict[str, int]:
    """A bucket of size 0 is none."""
    return {"size": per_second, "refill_time": _SECOND_MS if per_second else 0}


def plan_resized() -> dict[str, Any]:
    """The root disk is looked at again, because its file has another size."""
    return {"drive_id": "root", "path_on_host": names.DISK}


def plan_capture(state: str, memory: str) -> dict[str, Any]:
    return {"snapshot_type": "Full", "snapshot_path": state, "mem_file_path": memory}


def plan_restore(state: str, memory: str) -> dict[str, Any]:
    return {
        "snapshot_path": state,
        "mem_backend": {"backend_type": "File", "backend_path": memory},
        "resume_vm": False,
    }
