"""A guest's console log, as it can be shown: the guest may have written anything into it."""

from __future__ import annotations

import os
from pathlib import Path

_TAIL_BYTES = 16 * 1024
_PANIC_BYTES = 64 * 1024


def read_console_tail(path: Path, lines: int = 8) -> list[str]:
    """The last non-empty lines, control characters removed, each at most 300 characters."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            data = file.read(_TAIL_BYTES)
    except OSError:
        return []
    text = data.decode("utf-8", "replace")
    cleaned = (printable(line)[:300] for line in text.splitlines())
    return [line for line in cleaned if line.strip()][-lines:]


def find_panic(path: Path, begin: int) -> str:
    """What the kernel said of its panic, if that is how the log ended from `begin` on; empty if not. A kernel that goes
    down in order says so last."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(begin if begin <= size else 0, size - _PANIC_BYTES))
            data = file.read(_PANIC_BYTES)
    except OSError:
        return ""
    _, panic, after = data.rpartition(b"Kernel panic - not syncing: ")
    if not panic or b"reboot: " in after:
        return ""
    return printable(after.splitlines()[0].decode("utf-8", "replace"))[:200].strip() if after else ""


def find_panic_line(lines: list[str]) -> str:
    """Of a console; empty if none says that the kernel panicked."""
    return next((line for line in lines if "Kernel panic" in line), "")


def cause_of_panic(line: str) -> str:
    """What such a line says after that; all of it where it says nothing else."""
    return line.partition("not syncing: ")[2] or line


def printable(text: str) -> str:
    """Without control characters (escape sequences lose their first byte and are harmless then)."""
    return "".join(c if c.isprintable() or c == "\t" else "" for c in text)
