"""The guest's /proc files, as STATS sends them, read into numbers. A guest may send anything: a value that cannot be
read is 0 or left out."""

from __future__ import annotations

import math

from banger.model.report import DiskIo, GuestStats, NetIo
from banger.wire.constants import Tag
from banger.wire.fields import Fields

_TICKS_PER_S = 100  # USER_HZ is 100 on every Linux ABI we run
_SECTOR_BYTES = 512
_MAX_DEVICES = 64
_LARGEST = (1 << 63) - 1  # the largest integer that a reader of JSON can be expected to hold


def read_guest_stats(answer: Fields) -> GuestStats:
    files = dict(_read_file(raw) for raw in answer.all_bytes(Tag.FILE))
    cpu = _numbers(files.get("stat", ""))
    memory = _read_meminfo(files.get("meminfo", ""))
    blocks = [*(max(0, number) for number in answer.ints(Tag.BLOCKS)[:4]), 0, 0, 0, 0]
    idle = sum(cpu[3:5])
    return GuestStats(
        uptime_s=_first_float(files.get("uptime", "")),
        cpu_busy_s=(sum(cpu[:8]) - idle) / _TICKS_PER_S,
        cpu_idle_s=idle / _TICKS_PER_S,
        load_1min=_first_float(files.get("loadavg", "")),
        memory_total_bytes=memory.get("MemTotal", 0),
        memory_available_bytes=memory.get("MemAvailable", 0),
        root_total_bytes=min(blocks[0] * blocks[1], _LARGEST),
        root_available_bytes=min(blocks[0] * blocks[3], _LARGEST),
        disks=_read_disks(files.get("diskstats", "")),
        networks=_read_networks(files.get("net/dev", "")),
    )


def _read_file(raw: bytes) -> tuple[str, str]:
    name, _, contents = raw.partition(b"\0")
    return name.decode("ascii", "replace"), contents.decode("ascii", "replace")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split() if word.isdigit() and len(word) < 16]


def _first_float(text: str) -> float:
    word = text.split(maxsplit=1)[0] if text.split() else ""
    try:
        number = float(word)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _read_meminfo(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines()[:_MAX_DEVICES]:
        name, _, rest = line.partition(":")
        numbers = _numbers(rest)
        if numbers:
            found[name] = min(numbers[0] * 1024, _LARGEST)
    return found


def _read_disks(text: str) -> list[DiskIo]:
    disks = []
    for line in text.splitlines()[:_MAX_DEVICES]:
        words = line.split()
        numbers = _numbers(" ".join(words[3:]))
        if len(words) > 3 and len(numbers) >= 7 and words[2].startswith("vd"):
            disks.append(
                DiskIo(
                    name=words[2][:32],
                    read_bytes=numbers[2] * _SECTOR_BYTES,
                    written_bytes=numbers[6] * _SECTOR_BYTES,
                )
            )
    return disks


def _read_networks(text: str) -> list[NetIo]:
    networks = []
    for line in text.splitlines()[:_MAX_DEVICES]:
        name, colon, rest = line.partition(":")
        numbers = _numbers(rest)
        if colon and len(numbers) >= 9:
            networks.append(NetIo(name=name.strip()[:32], received_bytes=numbers[0], sent_bytes=numbers[8]))
    return networks
