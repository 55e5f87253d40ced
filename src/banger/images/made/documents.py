"""The documents of an image that was made here: configuration and manifest. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from banger.images.fetch.byte_range import ByteRange
from banger.images.reference.documents import (
    LAYER_GZIP,
    OCI_CONFIG,
    OCI_MANIFEST,
    Documents,
    Layer,
    digest_of,
)
from banger.images.reference.reference import Reference
from banger.model.image import Image


@dataclass(frozen=True)
class Layered:
    """An image in layers, from the lowest up, each with its open blob. `origin` is the registry reference that the
    lower layers came from, None if there is none."""

    documents: Documents
    layers: list[tuple[Layer, ByteRange]]
    origin: Reference | None


def write_documents(image: Image, layers: Sequence[Layer], labels: Mapping[str, str]) -> Documents:
    """`layers` are from the lowest up."""
    asked = image.config
    run = {
        "Entrypoint": asked.entrypoint,
        "Cmd": asked.cmd,
        "Env": asked.env,
        "WorkingDir": asked.cwd,
        "User": asked.user,
        "StopSignal": asked.stop_signal,
        "ExposedPorts": {port: {} for port in asked.exposed_ports},
        "Labels": dict(labels),
    }
    config = msgspec.json.encode(
        {
            "created": image.created,
            "architecture": image.architecture,
            "os": "linux",
            "config": {name: value for name, value in run.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": image.created, "created_by": "banger"} for _ in layers],
        }
    )
    manifest = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [
                {
                    "mediaType": _oci_type(layer),
                    "digest": layer.digest,
                    "size": layer.size,
                }
                for layer in layers
            ],
        }
    )
    return Documents(manifest, config)


def _oci_type(layer: Layer) -> str:
    """Docker's names of the same forms are not for OCI manifests."""
    base = LAYER_GZIP.removesuffix("+gzip")
    return f"{base}+{layer.compression}" if layer.compression else base
