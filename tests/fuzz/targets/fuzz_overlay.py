"""The head of a qcow2 file in a machine's directory, and the chain that it leads to."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from banger.errors import Error
from banger.vmm.qemu.layers import read_chain, read_head
from banger.vmm.qemu.overlay import encode_overlay

SEEDS = [encode_overlay(name, "qcow2", 1 << 30)[:300] for name in (".", "..", "root.qcow2", "/etc/passwd")]

_directory = Path(tempfile.mkdtemp(prefix="banger-fuzz-"))


def run(data: bytes) -> None:
    disk = _directory / "root.qcow2"
    disk.write_bytes(data if data[:1] == b"Q" else b"QFI\xfb\0\0\0\3" + data)
    with contextlib.suppress(Error):
        head = read_head(disk)
        assert len(head.backing) <= 1023
        for layer in read_chain(disk):
            assert layer.parent == _directory
