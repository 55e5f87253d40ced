"""Images and kernels as banger keeps them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

Ref = Annotated[str, Meta(min_length=1, max_length=1024)]


class ImageConfig(Struct, kw_only=True):
    """The parts of an OCI image configuration that banger needs to run the image."""

    entrypoint: list[str] = []
    cmd: list[str] = []
    env: list[str] = []
    cwd: str = ""
    user: str = ""
    stop_signal: str = ""
    exposed_ports: list[str] = []


class ImageStep(Struct, kw_only=True):
    """A step in the making of an image, as its author tells it. `digest` and `size_bytes` are those of its layer as the
    registry or archive has it, compressed or not; "" and 0 for a step that changed no file."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    digest: str = ""
    size_bytes: int = 0


class Image(Struct, kw_only=True):
    """A root disk. `digest` is the digest of the disk file. `size_bytes` is the size of the disk, `used_bytes` the
    space that it takes on the host. `source` says where the image came from. `manifest_digest` is its digest in a
    registry or archive, empty for disks of other origin. `catalog` is the catalog that has the image as an entry, if
    there is one. `base` is the digest of the disk of an image with layers that the image stands on: a machine's disk
    was committed above it, or an archive has its layers. `other_names` are the other names that an archive gave the
    image at the same time, in the answer of that pull only. `steps` is how the image was made, from the lowest layer
    up, in the answer for one image only. `kernel` and `init` are the defaults for machines of this image; empty means
    the usual ones."""

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
    base: str = ""
    other_names: list[str] = []
    steps: list[ImageStep] = []
    kernel: str = ""
    init: str = ""


class Kernel(Struct, kw_only=True):
    """A kernel: an ELF vmlinux, a read-only disk with its modules, and the modules that the initramfs needs."""

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
    """Body of image and kernel pulls. `platform` is "os/architecture[/variant]"; empty means the platform of this
    host. `size_bytes` 0 means the size of the contents plus some free space. `name` is the name for the image; empty
    means the name that its source gives."""

    ref: Ref
    force: bool = False
    platform: Annotated[str, Meta(max_length=64)] = ""
    insecure: bool = False
    size_bytes: Annotated[int, Meta(ge=0)] = 0
    name: Annotated[str, Meta(max_length=512)] = ""


class TagRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Give an image another name. A name that exists moves to this image."""

    name: Ref
    new: Ref


class PushRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of a push. `ref` is where the image goes, a reference to a registry; empty means the name of the image."""

    name: Ref
    ref: Annotated[str, Meta(max_length=1024)] = ""
    insecure: bool = False


class Pushed(Struct, kw_only=True):
    """What a registry has now. `sent` counts the layers that the registry did not have."""

    name: str
    digest: str
    layers: int
    sent: int


class RegisterRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Make an image of an existing ext4 disk. `rootfs` is the path of a file that the daemon can read."""

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
    """The result of a log-in or log-out. `kept_in` is the file that has the password now. `removed` says whether a
    log-out removed a password, and `elsewhere` lists other files with a password, which banger does not change."""

    registry: str
    kept_in: str = ""
    removed: bool = False
    elsewhere: list[str] = []


class Pruned(Struct, kw_only=True):
    """What a prune removed, or would remove with `dry_run`: the number of things, the space that this frees, and the
    directory. `kept` lists what could not be removed; the next prune tries again."""

    count: int
    freed_bytes: int
    directory: str
    dry_run: bool = False
    kept: list[str] = []
