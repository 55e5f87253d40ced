"""Archives in the forms that programs write, and in forms that none should: what several tests read."""

from __future__ import annotations

from tests.support.layers import extended, header, padded

LONG = b"d" * 90 + b"/" + b"f" * 150


def long_name(name: bytes, flag: bytes = b"L") -> bytes:
    return header(b"././@LongLink", len(name) + 1, flag, magic=b"ustar  \0") + padded(name + b"\0")


def old_sparse(pairs: list[tuple[int, int]], size: int, stored: int, more: bool = False) -> bytes:
    table = b"".join(b"%011o\0%011o\0" % pair for pair in pairs).ljust(96, b"\0")
    tail = bytes(41) + table + bytes([more]) + b"%011o\0" % size
    return header(b"s", stored, b"S", magic=b"ustar  \0", tail=tail)


def sparse_forms() -> list[tuple[str, bytes]]:
    """A file of 10,000 bytes with "ab" at 0 and "cde" at 5000, in every form."""
    data = padded(b"abcde")
    segments = b"2\n0\n2\n5000\n3\n"
    name, size = (b"GNU.sparse.name", b"s"), (b"GNU.sparse.size", b"10000")
    pairs = [(b"offset", b"0"), (b"numbytes", b"2"), (b"offset", b"5000"), (b"numbytes", b"3")]
    one = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"10000")]
    chain = b"".join(b"%011o\0%011o\0" % pair for pair in [(5000, 3), (10000, 0)]).ljust(512, b"\0")
    return [
        ("old", old_sparse([(0, 2), (5000, 3), (10000, 0)], 10000, 5) + data),
        ("old, in two blocks", old_sparse([(0, 1), (1, 1), (2, 0), (9, 0)], 10000, 5, True) + chain + data),
        (
            "0.0",
            extended(size, (b"GNU.sparse.numblocks", b"2"), *((b"GNU.sparse." + k, v) for k, v in pairs))
            + header(b"s", 5)
            + data,
        ),
        ("0.1", extended(name, size, (b"GNU.sparse.map", b"0,2,5000,3")) + header(b"x", 5) + data),
        ("1.0", extended(name, *one) + header(b"x", 517) + padded(segments) + data),
    ]
