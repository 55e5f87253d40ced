"""A kernel directory from a Debian kernel package. Nothing is installed, and no root is needed.

    <directory>/vmlinux        ELF, as QEMU (PVH) and Firecracker start it; for arm64 an Image
    <directory>/config         the kernel's build configuration
    <directory>/modules.ext4   read-only; holds <release>/
    <directory>/order          module file names in load order, one a line
    <directory>/vsock          those to load after them for vsock
    <directory>/modules/*.ko   uncompressed, both lists'
    <directory>/kernel.json    the record

The directory is named by its digest: sha256 over the layout's version, the package's name and version and
the sha256 of vmlinux.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from banger.catalogs.shelf import Found
from banger.errors import Error
from banger.host.apt import Package
from banger.host.fs import disk_usage_bytes
from banger.host.jail import Jail, bounds_of_helper
from banger.host.run import run
from banger.host.thread import in_thread
from banger.kernels.arm64_image import extract_image
from banger.kernels.bzimage import extract_vmlinux
from banger.kernels.disk import make_modules_disk
from banger.kernels.modules import unpack_modules, write_boot_modules
from banger.model.catalog import DebianSource, KernelEntry
from banger.model.image import Kernel
from banger.model.operation import Report
from banger.model.sizes import GIB

LAYOUT = 1
_LONGEST_FILE_BYTES = GIB
# The kernel of machines for which neither the user nor the image names another.
DEFAULT = "debian-cloud"
# How names of packages with kernels begin. A package that a catalog names may only depend on such a package.
PREFIX = "linux-image-"


@dataclass(frozen=True)
class DebianKernel:
    """`meta` is a package with a kernel, or a package that depends on the newest such package. `name` is the kernel's
    name on this host."""

    name: str
    suite: str
    meta: str
    architecture: str


def recipe_of(found: Found[KernelEntry], source: DebianSource) -> DebianKernel:
    """A catalog's entry with one of its sources, as one value. Raises `catalog_invalid`."""
    if len(source.packages) != 1:
        raise Error(
            "catalog_invalid", f"the kernel {found.entry.name} names {len(source.packages)} packages, not 1"
        )
    return DebianKernel(found.name, source.suite, source.packages[0], found.entry.architecture)


async def unpack_kernel(
    recipe: DebianKernel, package: Package, deb: Path, work: Path, out: Path, report: Report
) -> Kernel:
    """Fill the new directory `out` from a .deb, with `work` for scratch.

    Raises `kernel_invalid`, `tool_failed`."""
    report("unpack", package.name)
    root = work / "root"
    await in_thread(root.mkdir)
    unpacking = Jail(read=(deb,), trees=(root,), bounds=bounds_of_helper(_LONGEST_FILE_BYTES))
    await run(["dpkg-deb", "-x", str(deb), str(root)], jail=unpacking, timeout_s=300)
    await in_thread(out.mkdir)
    release, vmlinux_digest = await in_thread(_take_kernel, root, out, recipe.architecture)
    digest = kernel_digest(package, vmlinux_digest)
    modules = await in_thread(_merge_usr, root)
    await in_thread(unpack_modules, modules / release)
    indexing = Jail(trees=(root,), bounds=bounds_of_helper(_LONGEST_FILE_BYTES))
    await run(["depmod", "-b", str(root), release], jail=indexing, timeout_s=120)
    await in_thread(write_boot_modules, modules / release, out)
    report("modules disk", release)
    await make_modules_disk(modules, out / "modules.ext4", str(uuid.UUID(digest[:32])))
    kernel = Kernel(
        name=recipe.name,
        digest=digest,
        architecture=recipe.architecture,
        release=release,
        version=package.version,
        size_bytes=await in_thread(disk_usage_bytes, out),
        source=f"Debian {recipe.suite}, {package.name}",
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    (out / "kernel.json").write_bytes(msgspec.json.encode(kernel))
    return kernel


def kernel_digest(package: Package, vmlinux_digest: str) -> str:
    text = f"{LAYOUT}\n{package.name}\n{package.version}\n{vmlinux_digest}\n"
    return hashlib.sha256(text.encode()).hexdigest()


def _take_kernel(root: Path, out: Path, architecture: str) -> tuple[str, str]:
    """Copy vmlinux and configuration to `out`. Returns the release, and the SHA-256 of vmlinux."""
    images = sorted((root / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise Error("kernel_invalid", f"the package holds {len(images)} kernels instead of one")
    release = images[0].name.removeprefix("vmlinuz-")
    extract = extract_image if architecture == "arm64" else extract_vmlinux
    vmlinux = extract(images[0].read_bytes())
    (out / "vmlinux").write_bytes(vmlinux)
    config = root / f"boot/config-{release}"
    if not config.is_file():
        raise Error("kernel_invalid", "the package holds no kernel configuration")
    shutil.copyfile(config, out / "config")
    _require_builtin(config.read_text(), "EXT4_FS")
    return release, hashlib.sha256(vmlinux).hexdigest()


def _require_builtin(config: str, option: str) -> None:
    """Raises `kernel_invalid` if an option is not built in: the initramfs contains no module for a file system."""
    if f"\nCONFIG_{option}=y\n" not in f"\n{config}\n":
        raise Error("kernel_invalid", f"the kernel does not have CONFIG_{option} built in")


def _merge_usr(root: Path) -> Path:
    """The directory of modules. depmod looks in /lib; newer packages have the modules in /usr/lib."""
    merged = root / "usr/lib/modules"
    if not merged.is_dir():
        merged = root / "lib/modules"
    elif not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    if not merged.is_dir():
        raise Error("kernel_invalid", "the package holds no modules")
    return merged
