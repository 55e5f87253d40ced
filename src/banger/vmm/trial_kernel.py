"""The guest of a trial: a few instructions in an ELF file, entered like a PVH kernel (32-bit protected mode, see
docs/misc/pvh in Xen's documentation). It writes a word to the serial port and then causes a triple fault, which ends
the VMM like a reboot."""

from __future__ import annotations

import struct

WORD = b"trial ok"
_BASE = 0x100000  # where a kernel is loaded
_CODE_OFFSET = 0x100
_CODE_BYTES = 32
_ELF_HEADER_BYTES, _PROGRAM_HEADER_BYTES = 64, 56
_PVH_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY


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
