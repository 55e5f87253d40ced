"""A stranger's bundle: its manifest, a whole one around any manifest and disk, and the disk's header."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import zstandard

from banger.bundles.members import MANIFEST, BundleFile, tar_header, tar_padding
from banger.errors import Error
from banger.model.sizes import MIB
from banger.templates.bundle import parse_manifest, seal
from banger.templates.bundle_reader import Limits, unpack
from banger.vmm.qemu.frozen_files import QemuFrozenFiles
from banger.vmm.qemu.overlay import encode_overlay
from banger.vmm.qemu.qcow2_header import check_standalone_qcow2
from tests.support.frozen_machine import snapshot_record

_LIMITS = Limits(total_bytes=MIB, disk_bytes=MIB)
_SNAPSHOT = snapshot_record(MIB)
_FILE = BundleFile(name="devices", size_bytes=2, sha256=hashlib.sha256(b"{}").hexdigest())
_MANIFEST = seal(_SNAPSHOT, [_FILE]).data
_MEMBER = tar_header("devices", 2) + b"{}" + bytes(510)
SEEDS = [
    b"\0" + _MANIFEST,
    b"\1" + len(_MANIFEST).to_bytes(2, "little") + _MANIFEST + _MEMBER + bytes(1024),
    b"\2" + encode_overlay("", "qcow2", MIB)[4:300],
]
_directory = Path(tempfile.mkdtemp(prefix="banger-fuzz-"))
_compressor = zstandard.ZstdCompressor(level=1)


def run(data: bytes) -> None:
    """The first byte says which of them."""
    kind, rest = (data[0] % 3, data[1:]) if data else (0, b"")
    with contextlib.suppress(Error):
        (_manifest, _bundle, _disk)[kind](rest)


def _manifest(data: bytes) -> None:
    parse_manifest(data)


def _bundle(data: bytes) -> None:
    size, rest = int.from_bytes(data[:2], "little"), data[2:]
    manifest, rest = rest[:size], rest[size:]
    archive = tar_header(MANIFEST, len(manifest)) + manifest + bytes(tar_padding(len(manifest)))
    with _new_directory() as directory:
        packed = iter([_compressor.compress(archive + rest)])
        unpack(packed, directory, _LIMITS, lambda _: QemuFrozenFiles(), threading.Event())


@contextlib.contextmanager
def _new_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=_directory) as directory:
        yield Path(directory)


def _disk(data: bytes) -> None:
    disk = _directory / "disk.qcow2"
    disk.write_bytes(b"QFI\xfb" + data)
    check_standalone_qcow2(disk, MIB)
