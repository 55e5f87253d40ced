"""The interface of places that images come from."""

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
    """One image at one place, used as `async with open_source(...)`: leaving the block ends what was begun and closes
    what is open, except layers that the caller has got."""

    async def resolve(self, platform: Platform, report: Report) -> ImagePlan:
        """The plan of the image. Raises `image_not_found`, `platform_not_found`, `image_invalid`, and the errors of
        registries."""

    async def prefetch(self, plan: ImagePlan, report: Report) -> None:
        """Begin to fetch all layers of a plan at once that are not on this host. Returns at once."""

    async def open_layer(self, layer: Layer) -> ByteRange:
        """The blob of a layer, complete, with the digest and size of the plan; the caller closes it. While it is open,
        its `path`, `offset` and `size` tell where it is. Raises as `resolve`, and `insufficient_disk`."""


@dataclass(frozen=True)
class SourceContext:
    """What sources need to know. `config` is the directory of registries.toml. `insecure` applies to the registry in
    the reference only. `sender` is the host of the catalog that named the registry, "" for the user. `stdin` are the
    bytes that "-" means. `grants` may be kept for later pulls. `keep_free_bytes` of the cache's file system stay
    free."""

    store: BlobStore
    config: Path
    insecure: bool = False
    sender: str = ""
    stdin: AsyncIterable[bytes] | None = field(default=None, compare=False)
    grants: Grants = field(default_factory=Grants, compare=False)
    keep_free_bytes: int = 0
