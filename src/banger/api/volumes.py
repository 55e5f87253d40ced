"""Named volumes: requests and verbs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from banger.api.verb import ZSTD, Download, Nothing, Request, Upload, Verb
from banger.model.labels import Labels
from banger.model.volume import Volume

_V = "/v1/volumes/{volume}"
_NameText = Annotated[str, Meta(max_length=255)]


class OneVolume(Request):
    volume: str


class CreateVolume(Request):
    """An empty `name` means one by chance, `size_bytes` 0 the usual size. `copy_of` is a volume to copy."""

    name: _NameText = ""
    size_bytes: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    labels: Labels = field(default_factory=dict)
    copy_of: _NameText = ""


class PruneVolumes(Request):
    dry_run: bool = False


class ImportVolume(Request):
    """`name` replaces the name in the export."""

    name: _NameText = ""


# fmt: off
LIST = Verb(
    name="volumes.list", summary="All named volumes, with the machines that mount them", method="GET",
    path="/v1/volumes", request=Nothing, result=list[Volume],
)
CREATE = Verb(
    name="volumes.create", summary="Create a named volume, empty or as a copy of another", method="POST",
    path="/v1/volumes", request=CreateVolume, result=Volume, status=201,
    errors=(
        "bad_name", "bad_size", "name_taken", "volume_not_found", "volume_invalid", "in_use",
        "not_released",
    ),
    example={"name": "data", "size_bytes": 1 << 30},
)
PRUNE = Verb(
    name="volumes.prune", summary="Delete the volumes that no machine mounts, with all that they have", method="POST",
    path="/v1/volumes/prune", request=PruneVolumes, result=list[Volume], query=("dry_run",),
    example={"dry_run": True},
)
IMPORT = Upload(
    name="volumes.import_file", summary="Import an exported volume", method="PUT", path="/v1/volumes/import",
    request=ImportVolume, result=Volume, takes=ZSTD, query=("name",),
    errors=(
        "volume_invalid", "bad_name", "bad_size", "name_taken", "cancelled",
        "too_many_operations", "not_released",
    ),
    example={"name": "data"},
)
GET = Verb(
    name="volumes.get", summary="One named volume", method="GET", path=_V, request=OneVolume, result=Volume,
    errors=("volume_not_found",), example={"volume": "data"},
)
DELETE = Verb(
    name="volumes.delete", summary="Delete a volume that no machine mounts", method="DELETE", path=_V,
    request=OneVolume, result=type(None), errors=("volume_not_found", "in_use", "not_released"),
    example={"volume": "data"},
)
EXPORT = Download(
    name="volumes.export", summary="A volume as one file, for an import on this host or on another", method="GET",
    path=_V + "/export", request=OneVolume, media=ZSTD,
    errors=("volume_not_found", "in_use", "volume_invalid", "cancelled", "not_released"),
    example={"volume": "data"},
)
VERBS = (LIST, PRUNE, CREATE, IMPORT, GET, DELETE, EXPORT)
