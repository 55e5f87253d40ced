"""What the places that images come from have in common."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from banger.images.fetch.blobs import BlobStore
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.grants import Grants
from banger.images.reference.documents import ImagePlan, Layer
from banger.images.reference.platform import Platform
from banger.model.operation import Report


class Source(Protocol):
    """One image at one place, used as `async with open_source(...)`: leaving ends what was begun for it and closes
    what it holds, except the layers that were handed out."""

    async def resolve(self, platform: Platform, report: Report) -> ImagePlan:
        """What the image is made of. Raises `image_not_found`, `platform_not_found`, `image_invalid`, and what
        registries raise."""

    async def prefetch(self, plan: ImagePlan, report: Report) -> None:
        """Begin to fetch all of a plan's layers at once, as far as they are not here. Returns at once."""

    async def open_layer(self, layer: Layer) -> ByteRange:
        """The layer's blob, whole, of the digest and size that the plan says; the caller closes it. Its `path`,
        `offset` and `size` say where it lies while it is open. Raises as `resolve`, and `insufficient_disk`."""


@dataclass(frozen=True)
class SourceContext:
    """What sources need of their surroundings. `config` is where registries.toml is looked for. `insecure` is for the
    registry that is named, no other. `sender` is the host of the catalog that named it, "" for the user. `stdin` are
    the bytes that "-" means. `grants` may be kept for the next pulls. `keep_free_bytes` of the cache's file system are
    for others."""

    store: BlobStore
    config: Path
    insecure: bool = False
    sender: str = ""
    stdin: AsyncIterable[bytes] | None = field(default=None, compare=False)
    grants: Grants = field(default_factory=Grants, compare=False)
    keep_free_bytes: int = 0
