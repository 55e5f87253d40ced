"""Frozen machines, templates and snapshots: requests and verbs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from banger.api.verb import ZSTD, Download, Nothing, Request, Upload, Verb
from banger.model.image import Pruned
from banger.model.template import Snapshot, TagOrNone, Template

_TEMPLATE = ("template_not_found", "tool_missing")
_S = "/v1/snapshots/{machine}/{tag}"


class OneTemplate(Request):
    """`id` may be shortened to its first four characters or more, if no other id begins with them."""

    id: str


class PruneTemplates(Request):
    """`all` removes all templates, not only stale templates and templates unused for 30 days."""

    all: bool = False
    dry_run: bool = False


class ListSnapshots(Request):
    """`machine` selects the snapshots of one machine."""

    machine: str = ""


class OneSnapshot(Request):
    machine: str
    tag: str


class ImportSnapshot(Request):
    """`machine` and `tag` replace the names in the export."""

    machine: Annotated[str, Meta(max_length=64)] = ""
    tag: TagOrNone = ""


# fmt: off
LIST_TEMPLATES = Verb(
    name="templates.list", summary="All templates", method="GET", path="/v1/templates",
    request=Nothing, result=list[Template], errors=("tool_missing",),
)
GET_TEMPLATE = Verb(
    name="templates.get", summary="One template, by the beginning of its id", method="GET", path="/v1/templates/{id}",
    request=OneTemplate, result=Template, errors=_TEMPLATE, example={"id": "3f9c"},
)
DELETE_TEMPLATE = Verb(
    name="templates.delete", summary="Delete a template", method="DELETE", path="/v1/templates/{id}",
    request=OneTemplate, result=type(None), errors=(*_TEMPLATE, "not_released"), example={"id": "3f9c"},
)
PRUNE_TEMPLATES = Verb(
    name="templates.prune", summary="Remove templates that are stale, or unused for 30 days", method="POST",
    path="/v1/templates/prune", request=PruneTemplates, result=Pruned, query=("all", "dry_run"),
    errors=("tool_missing", "not_released"),
    example={"dry_run": True},
)
LIST_SNAPSHOTS = Verb(
    name="snapshots.list", summary="All snapshots, or those of one machine", method="GET", path="/v1/snapshots",
    request=ListSnapshots, result=list[Snapshot], query=("machine",), example={"machine": "dev"},
)
GET_SNAPSHOT = Verb(
    name="snapshots.get", summary="One snapshot", method="GET", path=_S, request=OneSnapshot, result=Snapshot,
    errors=("snapshot_not_found",), example={"machine": "dev", "tag": "clean"},
)
DELETE_SNAPSHOT = Verb(
    name="snapshots.delete", summary="Delete a snapshot", method="DELETE", path=_S,
    request=OneSnapshot, result=type(None), errors=("snapshot_not_found", "not_released"),
    example={"machine": "dev", "tag": "clean"},
)
EXPORT_SNAPSHOT = Download(
    name="snapshots.export", summary="A snapshot as one file, for an import on this host or on another", method="GET",
    path=_S + "/export", request=OneSnapshot, media=ZSTD,
    errors=(
        "snapshot_not_found", "snapshot_invalid", "frozen_damaged", "driver_not_found", "vmm_failed", "tool_failed",
        "cancelled", "not_released", "unsupported",
    ),
    example={"machine": "dev", "tag": "clean"},
)
IMPORT_SNAPSHOT = Upload(
    name="snapshots.import_file", summary="Import an exported snapshot", method="PUT",
    path="/v1/snapshots/import", request=ImportSnapshot, result=Snapshot, takes=ZSTD, query=("machine", "tag"),
    errors=(
        "snapshot_invalid", "snapshot_incompatible", "name_taken", "bad_name", "cancelled",
        "too_many_operations", "not_released",
    ), example={"tag": "clean"},
)
VERBS = (
    LIST_TEMPLATES, PRUNE_TEMPLATES, GET_TEMPLATE, DELETE_TEMPLATE,
    LIST_SNAPSHOTS, IMPORT_SNAPSHOT, GET_SNAPSHOT, DELETE_SNAPSHOT, EXPORT_SNAPSHOT,
)
