"""A kernel's directory ↔ a bundle of a catalog. Blocking: for threads.

manifest.json   kind "kernel"; architecture, release, version; the files
vmlinux  config  modules.ext4  order  vsock    as in the directory (see kernels.debian)
*.ko                                           what is in its modules/
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from banger.bundles import reader, writer
from banger.bundles.members import BundleFile, invalid, quoted
from banger.errors import Error
from banger.model.image import Kernel
from banger.model.sizes import GIB

VMLINUX = "vmlinux"
_FILES = (VMLINUX, "config", "modules.ext4", "order", "vsock")
_MODULE = re.compile(r"[a-z0-9][a-z0-9_.-]*\.ko", re.ASCII)
_MAX_BYTES = 4 * GIB
_LIST_MAX_BYTES = 64 * 1024
_CHUNK_BYTES = 1 << 18


class Manifest(Struct, kw_only=True, frozen=True):
    """`release` is the name that the kernel gives itself, `version` the version of its package."""

    format: Literal[1] = 1
    kind: Literal["kernel"] = "kernel"
    architecture: Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}\Z")]
    release: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}\Z")]
    version: Annotated[str, Meta(max_length=128)]
    created: Annotated[str, Meta(max_length=64)] = ""
    source: Annotated[str, Meta(max_length=512)] = ""
    files: tuple[BundleFile, ...]


def pack_kernel(kernel: Kernel, directory: Path, out: Path, stop: Event) -> BundleFile:
    """Write the bundle to `out`. Returns name, size and digest of its vmlinux. Raises `cancelled`, OSError."""
    paths = [directory / name for name in _FILES] + sorted((directory / "modules").glob("*.ko"))
    files = [writer.describe_file(path, stop) for path in paths]
    manifest = Manifest(
        architecture=kernel.architecture,
        release=kernel.release,
        version=kernel.version,
        created=kernel.created,
        source=kernel.source,
        files=tuple(files),
    )
    with open(out, "xb") as target:
        for piece in writer.pack(msgspec.json.encode(manifest), files, paths):
            if stop.is_set():
                raise Error("cancelled", "the writing of the bundle was cancelled")
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    return files[0]


def unpack_kernel_bundle(bundle: io.RawIOBase, out: Path, digest: str, stop: Event) -> Manifest:
    """Fill the new directory `out`. `digest` is what a catalog says of vmlinux, "" if it says nothing. Raises
    `bundle_invalid`, `insufficient_disk`, `cancelled`."""
    out.mkdir()
    manifest = reader.unpack(_chunks(bundle), out, parse_manifest, _MAX_BYTES, stop)
    if digest not in ("", f"sha256:{manifest.files[0].sha256}"):
        raise invalid(f"vmlinux is sha256:{manifest.files[0].sha256}, the catalog says {digest}")
    (out / "modules").mkdir()
    for file in manifest.files[len(_FILES) :]:
        os.rename(out / file.name, out / "modules" / file.name)
    for name in ("order", "vsock"):
        _check_list(out, name)
    (out / "modules.ext4").chmod(0o444)
    return manifest


def kernel_digest(manifest: Manifest) -> str:
    """The name of the directory, derived from all its contents: 64 hex digits."""
    lines = [f"{file.name} {file.sha256}" for file in manifest.files]
    return hashlib.sha256(
        "\n".join([f"bundle {manifest.format} {manifest.release}", *lines]).encode()
    ).hexdigest()


def parse_manifest(data: bytes) -> Manifest:
    """Raises `bundle_invalid`."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise invalid(f"the bundle is not one of a kernel: {quoted(str(exc))}") from exc
    names = [file.name for file in manifest.files]
    modules = names[len(_FILES) :]
    if tuple(names[: len(_FILES)]) != _FILES or not all(_MODULE.fullmatch(name) for name in modules):
        raise invalid(f"the bundle of a kernel has {', '.join(_FILES)} and modules, in that order")
    return manifest


def _check_list(out: Path, name: str) -> None:
    """Check a list of modules, which is read as file names when a machine starts: it may only name modules of the
    bundle. Raises `bundle_invalid`."""
    path = out / name
    if path.stat().st_size > _LIST_MAX_BYTES:
        raise invalid(f"{name} is not a list of modules")
    for line in path.read_bytes().decode("ascii", "replace").splitlines():
        if not _MODULE.fullmatch(line) or not (out / "modules" / line).is_file():
            raise invalid(f"{name} names {quoted(line)}, which is not in the bundle")


def _chunks(bundle: io.RawIOBase) -> Iterator[bytes]:
    bundle.seek(0)
    while chunk := bundle.read(_CHUNK_BYTES):
        yield chunk
