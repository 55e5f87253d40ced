"""Lists of fields, and all that is read from an agent's answers: a value, or `Malformed`."""

from __future__ import annotations

import contextlib

import msgspec

from banger.agent.guest_stats import read_guest_stats
from banger.agent.process import read_execs, read_exit
from banger.machines.ask.inspect import read_ports
from banger.wire.constants import Tag
from banger.wire.fields import Fields, Malformed, encode_fields
from tests.fuzz.waiters import read_health

SEEDS = [
    encode_fields([(Tag.EXEC, 1), (Tag.PID, 1), (Tag.RUNNING, 1), (Tag.OFFSET, 0), (Tag.LABEL, "sh")]),
    encode_fields(
        [(Tag.FILE, b"stat\0cpu 1 2 3 4 5 6 7 8"), (Tag.FILE, b"uptime\0001.5 2"), (Tag.BLOCKS, 4096)]
    ),
    encode_fields([(Tag.FILE, b"diskstats\0 1 1 vda 1 2 3 4 5 6 7 8"), (Tag.FILE, b"net/dev\0eth0: 1 2 3")]),
    encode_fields([(Tag.PORT, "tcp 7f000001 80 12 nginx"), (Tag.PORT, "udp6 " + "0" * 32 + " 53 0 -")]),
    encode_fields([(Tag.STATE, "running"), (Tag.UPTIME_MS, 5), (Tag.INIT_NAME, "init")]),
]
_READERS = (read_guest_stats, read_ports, read_health, read_execs, read_exit)


def run(data: bytes) -> None:
    for payload in (data, _as_values(data)):
        try:
            fields = Fields(payload)
        except Malformed:
            continue
        assert encode_fields(fields) == payload
        for read in _READERS:
            with contextlib.suppress(Malformed):
                msgspec.json.encode(read(fields))  # whatever it is, the API can say it
        assert fields.shown(Tag.MESSAGE, 100).isprintable()


def _as_values(data: bytes) -> bytes:
    """A list that is in order, with the bytes as its tags and values."""
    tags = [*Tag]
    pieces = data.split(b"\xfe")
    return encode_fields((tags[piece[0] % len(tags)], piece[1:]) for piece in pieces if piece)
