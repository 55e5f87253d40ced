"""A guest's console log, made safe to show: the guest may have written any bytes into it."""

from __future__ import annotations

from pathlib import Path

from banger.host.foreign import foreign_size, read_foreign

_TAIL_BYTES = 16 * 1024
_PANIC_BYTES = 64 * 1024


def read_console_tail(path: Path, lines: int = 8) -> list[str]:
    """The last non-empty lines, control characters removed, each at most 300 characters."""
    try:
        data = read_foreign(path, -_TAIL_BYTES, _TAIL_BYTES)
    except OSError:
        return []
    text = data.decode("utf-8", "replace")
    cleaned = (printable(line)[:300] for line in text.splitlines())
    return [line for line in cleaned if line.strip()][-lines:]


def find_panic(path: Path, begin: int) -> str:
    """The message of the kernel panic if the log ends with one (read from offset `begin`); else an empty string. A
    kernel that shuts down in order writes "reboot: " at the end."""
    try:
        size = foreign_size(path)
        data = read_foreign(path, max(begin if begin <= size else 0, size - _PANIC_BYTES), _PANIC_BYTES)
    except OSError:
        return ""
    _, panic, after = data.rpartition(b"Kernel panic - not syncing: ")
    if not panic or b"reboot: " in after:
        return ""
    return printable(after.splitlines()[0].decode("utf-8", "replace"))[:200].strip() if after else ""


def find_panic_line(lines: list[str]) -> str:
    """The first line that reports a kernel panic; empty if there is none."""
    return next((line for line in lines if "Kernel panic" in line), "")


def cause_of_panic(line: str) -> str:
    """The part of such a line after "not syncing: "; the whole line if it has no such part."""
    return line.partition("not syncing: ")[2] or line


def printable(text: str) -> str:
    """`text` without control characters. An escape sequence loses its first byte and is harmless then."""
    return "".join(c if c.isprintable() or c == "\t" else "" for c in text)
