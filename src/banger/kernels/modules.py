"""Which modules the initramfs loads and in what order, and their uncompressed copies.

`modules.dep` lists with each module all modules that it needs, the first to load at the end; `modules.builtin` names
what is part of the kernel itself. depmod and the kernel package make these files.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import zstandard

from banger.errors import Error

# For disk, network, the agent's port and entropy: nothing else is needed to reach the root disk.
BOOT = (
    "virtio_ring",
    "virtio",
    "virtio_mmio",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
)
# The agent's transport for a VMM that has vsock instead of a port.
VSOCK = ("vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport")
_LIMIT_BYTES = 64 * 1024 * 1024


class ModuleIndex:
    """The modules of a kernel release, by name (with _ for -). Pure."""

    def __init__(self, dep: str, builtin: str) -> None:
        self._dependencies: dict[str, tuple[str, list[str]]] = {}
        for line in dep.splitlines():
            path, colon, needs = line.partition(":")
            if colon:
                self._dependencies[module_name(path)] = (path, needs.split())
        self._builtin = {module_name(line) for line in builtin.splitlines()}

    def has(self, name: str) -> bool:
        return name in self._dependencies or name in self._builtin

    def plan_order(self, wanted: Iterable[str]) -> list[str]:
        """The paths (as in modules.dep) of modules and all that they need, in an order in which they load; without
        built-in ones.

        Raises `kernel_invalid` for a module that the kernel does not have."""
        order: dict[str, None] = {}
        for name in wanted:
            if name in self._dependencies:
                path, needs = self._dependencies[name]
                order.update(dict.fromkeys([*reversed(needs), path]))
            elif name not in self._builtin:
                raise Error(
                    "kernel_invalid",
                    f"the kernel has no module {name}, and it is not built in",
                    "choose a kernel with virtio support",
                )
        return list(order)


def module_name(path: str) -> str:
    """`kernel/drivers/char/hw_random/virtio-rng.ko.xz` → `virtio_rng`, as the kernel itself calls it."""
    return PurePosixPath(path).name.split(".ko")[0].replace("-", "_")


def plain_name(path: str) -> str:
    """The file name of an uncompressed copy."""
    return PurePosixPath(path).name.split(".ko")[0] + ".ko"


def read_module(path: Path) -> bytes:
    """The ELF bytes of a module, unpacked if the package has the module compressed. Raises `kernel_invalid`."""
    try:
        data = _UNPACK.get(path.suffix, bytes)(path.read_bytes())
    except (EOFError, OSError, lzma.LZMAError, zstandard.ZstdError) as exc:
        raise Error("kernel_invalid", f"cannot read module {path.name}: {exc}") from exc
    if data[:4] != b"\x7fELF":
        raise Error("kernel_invalid", f"module {path.name} is not an ELF file")
    return data


def unpack_modules(release_tree: Path) -> None:
    """Replace compressed modules by plain ones: some kernels, and modprobe of some images, cannot unpack them. Run
    depmod after this. Blocking. Raises `kernel_invalid`."""
    for path in [found for suffix in _UNPACK for found in release_tree.rglob(f"*.ko{suffix}")]:
        path.with_suffix("").write_bytes(read_module(path))
        path.unlink()


def write_boot_modules(release_tree: Path, out: Path) -> None:
    """From `/lib/modules/<release>` into `out`: `order`, `vsock` (file names, one a line, in load order;
    `vsock` holds only what comes after `order`) and `modules/*.ko`. Blocking."""
    index = ModuleIndex(
        (release_tree / "modules.dep").read_text(), (release_tree / "modules.builtin").read_text()
    )
    boot = index.plan_order(BOOT)
    has_vsock = all(index.has(name) for name in VSOCK)
    vsock = [p for p in index.plan_order(VSOCK) if p not in boot] if has_vsock else []
    (out / "modules").mkdir()
    for path in [*boot, *vsock]:
        (out / "modules" / plain_name(path)).write_bytes(read_module(release_tree / path))
    (out / "order").write_text(_list(boot))
    (out / "vsock").write_text(_list(vsock))


def _list(paths: Sequence[str]) -> str:
    return "".join(plain_name(path) + "\n" for path in paths)


def _unpack_zstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(data) as reader:
        return reader.read(_LIMIT_BYTES)


def _unpack_xz(data: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(data, _LIMIT_BYTES)


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": _unpack_xz,
    ".zst": _unpack_zstd,
}
