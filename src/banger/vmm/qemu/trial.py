"""Check what a QEMU can do: its commands, and whether a machine really runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from banger.errors import Error, TimedOut
from banger.host.run import run
from banger.vmm.base import Lack, VmConfig, VmPlaces
from banger.vmm.link import UserNat
from banger.vmm.qemu.argv import SANDBOX, plan_machine, plan_memory, plan_network
from banger.vmm.trial_kernel import WORD, plan_trial_kernel

_MEMORY_MIB = 32
# Commands that banger sends to a running QEMU, and what a user loses if QEMU does not know the command.
_COMMANDS = {
    "xen-save-devices-state": "templates, snapshots and forks",
    "migrate-incoming": "templates, snapshots and forks",
    "getfd": "templates, snapshots and forks",
    "blockdev-snapshot-sync": "snapshots and forks",
    "block_resize": "disks that grow",
    "block_set_io_throttle": "--io-limit and --iops-limit",
}
_ASK_S = 4.0


def plan_trial(binary: str, accel: str, kernel: Path) -> list[str]:
    """Made of the same parts as a machine's own command line."""
    nowhere = Path("/")
    config = VmConfig(
        places=VmPlaces(name="trial", directory=nowhere, run_directory=nowhere),
        marker="",
        vmlinux=kernel,
        initramfs=nowhere,
        modules_disk=nowhere,
        image_disk=nowhere,
        disk_bytes=0,
        cpus=1,
        memory_mib=_MEMORY_MIB,
        accel=accel,
        link=UserNat("02:00:00:00:00:01"),
    )
    return [
        binary,
        *plan_machine(config),
        *plan_memory(config),
        *("-kernel", str(kernel)),
        *("-serial", "stdio"),
        *plan_network(config),
        *("-sandbox", SANDBOX),
    ]


async def try_machine(binary: str, accel: str, timeout_s: float) -> str:
    """Why no machine runs with that accelerator; empty if a machine ran."""
    fd = os.memfd_create("trial")
    try:
        os.write(fd, plan_trial_kernel())
        argv = plan_trial(binary, accel, Path(f"/proc/{os.getpid()}/fd/{fd}"))
        result = await run(argv, check=False, timeout_s=timeout_s)
    except TimedOut:
        return "its guest did nothing within the time limit"
    except Error as exc:
        return exc.message
    finally:
        os.close(fd)
    if result.code == 0 and WORD in result.stdout:
        return ""
    said = result.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[0] if said else f"it ended with exit code {result.code}, and its guest printed nothing"


async def find_lacks(binary: str) -> list[Lack]:
    """Which features that machines need this build lacks. Raises `tool_failed`, `timeout`."""
    result = await run(
        [binary, "-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio"],
        stdin=b"".join(
            json.dumps({"execute": command, "id": command}).encode() + b"\n"
            for command in ("qmp_capabilities", "query-commands", "query-machines", "quit")
        ),
        timeout_s=_ASK_S,
    )
    answers = {
        answer.get("id"): answer.get("return") for answer in map(json.loads, result.stdout.splitlines())
    }
    return lacks_of(_names(answers.get("query-commands")), _names(answers.get("query-machines")))


def lacks_of(commands: set[str], machines: set[str]) -> list[Lack]:
    """The lacks of a QEMU with these commands and these kinds of machines."""
    lacks = [] if "microvm" in machines else [Lack("no machine of kind microvm: nothing runs", is_fatal=True)]
    return lacks + [Lack(f"no {name}: no {lost}") for name, lost in _COMMANDS.items() if name not in commands]


def _names(answer: object) -> set[str]:
    return {str(item["name"]) for item in answer} if isinstance(answer, list) else set()
