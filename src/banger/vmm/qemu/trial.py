"""Check what a QEMU can do: its commands, and whether a machine really runs.

The guest of the trial is a few instructions in an ELF file, entered like a PVH kernel (32-bit protected mode, see
docs/misc/pvh in Xen's documentation). It writes a word to the serial port and then causes a triple fault, which ends
QEMU like a reboot.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

from banger.errors import Error, TimedOut
from banger.host.run import run
from banger.vmm.base import Lack, VmConfig, VmPlaces
from banger.vmm.link import UserNat
from banger.vmm.qemu.argv import SANDBOX, plan_machine, plan_memory, plan_network

WORD = b"trial ok"
_BASE = 0x100000  # where a kernel is loaded
_CODE_OFFSET = 0x100
_CODE_BYTES = 32
_ELF_HEADER_BYTES, _PROGRAM_HEADER_BYTES = 64, 56
_PVH_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY
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


def plan_trial_kernel() -> bytes:
    """The guest, as an ELF file."""
    entry = _BASE + _CODE_OFFSET
    body = _code(entry)
    size = _CODE_OFFSET + len(body)
    note = struct.pack("<III4sI", 4, 4, _PVH_ENTRY, b"Xen\0", entry)
    note_offset = _ELF_HEADER_BYTES + 2 * _PROGRAM_HEADER_BYTES
    head = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, entry, _ELF_HEADER_BYTES, 0, 0,
        _ELF_HEADER_BYTES, _PROGRAM_HEADER_BYTES, 2, 0, 0, 0,
    )  # fmt: skip
    head += struct.pack("<IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, size, 4096)
    at = _BASE + note_offset
    head += struct.pack("<IIQQQQQQ", 4, 4, note_offset, at, at, len(note), len(note), 4)
    return (head + note).ljust(_CODE_OFFSET, b"\0") + body


def _code(entry: int) -> bytes:
    """x86 instructions, and the data that they use."""
    word = entry + _CODE_BYTES
    no_handlers = word + len(WORD) + 1
    code = (
        b"\xbe" + struct.pack("<I", word)  # mov esi, word
        + b"\x66\xba\xf8\x03"  # mov dx, 0x3f8
        + b"\xac"  # next: lodsb
        + b"\x84\xc0"  # test al, al
        + b"\x74\x03"  # jz done
        + b"\xee"  # out dx, al
        + b"\xeb\xf8"  # jmp next
        + b"\x0f\x01\x1d" + struct.pack("<I", no_handlers)  # done: lidt [no_handlers]
        + b"\x0f\x0b"  # ud2
    )  # fmt: skip
    return code.ljust(_CODE_BYTES, b"\x90") + WORD + bytes(1 + 8)


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
