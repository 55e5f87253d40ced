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
    `used_bytes` what it takes on the host; `source` says where it came from."""

    name: str
    digest: str
    architecture: str
    size_bytes: int
    used_bytes: int
    source: str
    created: str
    config: ImageConfig = field(default_factory=ImageConfig)


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


class PullRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of image and kernel pulls."""

    ref: Ref
    force: bool = False
