"""Images and the registries that they come from: requests and verbs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from banger.api.verb import BYTES, TAR, Download, Nothing, Request, Upload, Verb
from banger.model.catalog import Offer
from banger.model.image import (
    Image,
    Login,
    LoginRequest,
    LogoutRequest,
    Pruned,
    PullRequest,
    Pushed,
    PushRequest,
    Ref,
    RegisterRequest,
    TagRequest,
)
from banger.model.operation import Operation

# A name may be that of a directory of the host ("rootfs:/path").
_ONE = ("image_not_found", "file_not_found", "bad_name")
_REGISTRY = ("bad_reference", "registry_denied", "registry_error", "tls_failed", "credentials_error")


class OneImage(Request):
    name: Ref


class SaveImages(OneImage):
    """`also` are the names of more images, for the same archive."""

    also: Annotated[list[Ref], Meta(max_length=31)] = field(default_factory=list)


class ImportImage(OneImage):
    """`size_bytes` is the size of the disk; 0 means the size of the contents plus some free space."""

    size_bytes: Annotated[int, Meta(ge=0, le=1 << 44)] = 0


class Prune(Request):
    """With `dry_run`, nothing is removed; the answer says what would be."""

    dry_run: bool = False


class Search(Request):
    """`search` selects the entries that contain all these words."""

    search: str = ""


# fmt: off
LIST = Verb(
    name="images.list", summary="All images", method="GET", path="/v1/images", request=Nothing, result=list[Image],
)
GET = Verb(
    name="images.get", summary="One image", method="GET", path="/v1/images/{name:path}",
    request=OneImage, result=Image, errors=_ONE, example={"name": "debian-bookworm"},
)
DELETE = Verb(
    name="images.delete", summary="Delete an image that no machine uses", method="DELETE",
    path="/v1/images/{name:path}", request=OneImage, result=type(None),
    errors=(*_ONE, "in_use", "not_released"),
    example={"name": "debian-bookworm"},
)
PULL = Verb(
    name="images.pull", summary="Build or fetch an image", method="POST", path="/v1/images/pull",
    request=PullRequest, result=Operation[Image], status=202, errors=("too_many_operations",),
    example={"ref": "registry.lan:5000/team/app:1.2"},
)
PUSH = Verb(
    name="images.push", summary="Send an image to a registry", method="POST", path="/v1/images/push",
    request=PushRequest, result=Operation[Pushed], status=202, errors=(*_ONE, "bad_reference", "too_many_operations"),
    example={"name": "mine", "ref": "registry.lan:5000/team/mine:1"},
)
SAVE = Download(
    name="images.save", summary="Images as an archive that other tools load", method="GET", path="/v1/images/save",
    request=SaveImages, media=TAR, query=("name", "also"), errors=(*_ONE, "image_invalid"), waits=True,
    example={"name": "mine", "also": ["mine:2"]},
)
IMPORT_TAR = Upload(
    name="images.import_tar", summary="Make an image of a tar stream of one tree", method="PUT",
    path="/v1/images/import", request=ImportImage, result=Image, takes=TAR, query=("name", "size_bytes"),
    errors=("image_invalid", "layer_refused", "layer_too_large", "too_many_operations"),
    example={"name": "mine"},
)
TAG = Verb(
    name="images.tag", summary="Give an image another name", method="POST", path="/v1/images/tag",
    request=TagRequest, result=Image, errors=(*_ONE, "name_taken", "bad_reference"),
    example={"name": "debian-bookworm", "new": "base"},
)
REGISTER = Verb(
    name="images.register", summary="Make an image of an existing ext4 disk", method="POST", path="/v1/images/register",
    request=RegisterRequest, result=Image, status=201,
    errors=("file_not_found", "image_invalid", "name_taken", "bad_reference", "bad_config"),
    example={"rootfs": "/srv/disks/base.ext4", "name": "base"},
)
EXPORT = Download(
    name="images.export", summary="The disk of an image, as it is", method="GET", path="/v1/images/export",
    request=OneImage, media=BYTES, query=("name",), errors=_ONE, example={"name": "base"},
)
PRUNE = Verb(
    name="images.prune", summary="Remove disks that no name and no machine uses", method="POST",
    path="/v1/images/prune", request=Prune, result=Pruned, query=("dry_run",), errors=("not_released",),
    example={"dry_run": True},
)
PRUNE_BLOBS = Verb(
    name="images.prune_blobs", summary="Remove the compressed layers of registries", method="POST",
    path="/v1/images/cache/prune", request=Prune, result=Pruned, query=("dry_run",), errors=("bad_state",),
    example={"dry_run": True},
)
OFFERS = Verb(
    name="images.offers", summary="What catalogs offer", method="GET", path="/v1/images/catalog",
    request=Search, result=list[Offer], query=("search",), example={"search": "debian"},
)
LOG_IN = Verb(
    name="images.log_in", summary="Check a password and keep it for later pulls", method="POST",
    path="/v1/registries/login", request=LoginRequest, result=Login, errors=(*_REGISTRY, "download_failed"),
    example={"registry": "registry.lan:5000", "username": "me", "password": "secret"},
)
LOG_OUT = Verb(
    name="images.log_out", summary="Forget a registry's password", method="POST", path="/v1/registries/logout",
    request=LogoutRequest, result=Login, errors=("bad_reference", "credentials_error"),
    example={"registry": "registry.lan:5000"},
)
# `/images/{name}` matches any rest of a path, so it comes after the paths with fixed names.
VERBS = (
    LIST, PULL, PUSH, SAVE, IMPORT_TAR, TAG, REGISTER, EXPORT, PRUNE, PRUNE_BLOBS, OFFERS, GET, DELETE, LOG_IN,
    LOG_OUT,
)
