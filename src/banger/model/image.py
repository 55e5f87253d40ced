"""Images and kernels as banger keeps them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

Ref = Annotated[str, Meta(min_length=1, max_length=1024)]


class ImageConfig(Struct, kw_only=True):
    """The parts of an OCI image configuration that running it needs."""

    entrypoint: list[str] = []
    cmd: list[str] = []
    env: list[str] = []
    cwd: str = ""
    user: str = ""
    stop_signal: str = ""
    exposed_ports: list[str] = []


class Image(Struct, kw_only=True):
    """A root disk. `digest` names the disk file's content; `size_bytes` is the disk's virtual size,
    `used_bytes` what it takes on the host; `source` says where it came from; `manifest_digest` is what a
    registry or archive calls it, empty for disks of other origin; `catalog` is whose entry it is, empty for one that is
    in none; `kernel` and `init` are what its machines get unless they ask for another, empty: the usual ones."""

    name: str
    digest: str
    architecture: str
    size_bytes: int
    used_bytes: int
    source: str
    created: str
    config: ImageConfig = field(default_factory=ImageConfig)
    manifest_digest: str = ""
    layers: int = 0
    catalog: str = ""
    kernel: str = ""
    init: str = ""


class Kernel(Struct, kw_only=True):
    """A kernel: ELF vmlinux, a read-only disk of its modules, the modules the initramfs needs."""

    name: str
    digest: str
    architecture: str
    release: str
    version: str
    size_bytes: int
    source: str
    created: str
    catalog: str = ""


class PullRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of image and kernel pulls. `platform` is "os/architecture[/variant]", empty: this host's; `size_bytes` 0:
    what the contents need and head-room; `name`: what the image is to be called, empty: as the source says."""

    ref: Ref
    force: bool = False
    platform: Annotated[str, Meta(max_length=64)] = ""
    insecure: bool = False
    size_bytes: Annotated[int, Meta(ge=0)] = 0
    name: Annotated[str, Meta(max_length=512)] = ""


class TagRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Give an image another name; a name that exists moves."""

    name: Ref
    new: Ref


class RegisterRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Take a ready ext4 disk, a file the daemon can read, as an image."""

    rootfs: Annotated[str, Meta(min_length=1, max_length=4096)]
    name: Ref


class LoginRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    registry: Annotated[str, Meta(min_length=1, max_length=300)]
    username: Annotated[str, Meta(min_length=1, max_length=1024)]
    password: Annotated[str, Meta(max_length=65536)]
    insecure: bool = False


class LogoutRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    registry: Annotated[str, Meta(min_length=1, max_length=300)]


class Login(Struct, kw_only=True):
    """Where a registry's password is kept now; after a logout, whether there was one, and which other files have one
    that we do not touch."""

    registry: str
    kept_in: str = ""
    removed: bool = False
    elsewhere: list[str] = []


class Pruned(Struct, kw_only=True):
    """What a prune removed, or would remove: how many of what, how much room that makes, and where. `kept` is what
    could not be removed; the next prune tries again."""

    count: int
    freed_bytes: int
    directory: str
    dry_run: bool = False
    kept: list[str] = []
