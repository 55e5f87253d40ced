"""Catalogs: requests and verbs."""

from __future__ import annotations

from banger.api.verb import Nothing, Request, Verb
from banger.model.catalog import AddCatalog, Catalog, Published, PublishRequest, Verified, VerifyRequest
from banger.model.operation import Operation


class OneCatalog(Request):
    name: str


class RefreshCatalogs(Request):
    """`name` selects one catalog; then an index that cannot be fetched is an error."""

    name: str = ""


# fmt: off
LIST = Verb(
    name="catalogs.list", summary="All catalogs, in the order in which banger searches them", method="GET",
    path="/v1/catalogs", request=Nothing, result=list[Catalog],
)
ADD = Verb(
    name="catalogs.add", summary="Add a catalog, and pin its key", method="POST", path="/v1/catalogs",
    request=AddCatalog, result=Catalog, status=201,
    errors=(
        "name_taken", "bad_name", "file_not_found", "download_failed", "tls_failed", "unsupported", "catalog_invalid",
        "catalog_untrusted", "catalog_rolled_back", "catalog_expired",
    ),
    example={"url": "https://images.example.org/banger", "key": "RWQ..."},
)
REFRESH = Verb(
    name="catalogs.refresh", summary="Fetch the indexes of all catalogs, or of one", method="POST",
    path="/v1/catalogs/refresh", request=RefreshCatalogs, result=list[Catalog], query=("name",),
    errors=("catalog_not_found", "download_failed", "catalog_untrusted", "catalog_rolled_back"),
    example={"name": "team"},
)
PUBLISH = Verb(
    name="catalogs.publish", summary="Put an image or kernel into a catalog's directory", method="POST",
    path="/v1/catalogs/publish", request=PublishRequest, result=Operation[Published], status=202,
    errors=("too_many_operations",),
    example={"kind": "image", "name": "base", "directory": "/srv/catalog"},
)
VERIFY = Verb(
    name="catalogs.verify", summary="Check a catalog's directory", method="POST", path="/v1/catalogs/verify",
    request=VerifyRequest, result=Operation[Verified], status=202,
    errors=("too_many_operations",),
    example={"directory": "/srv/catalog", "key": "RWQ..."},
)
REMOVE = Verb(
    name="catalogs.remove", summary="Remove a catalog; images and kernels pulled from it stay", method="DELETE",
    path="/v1/catalogs/{name}", request=OneCatalog, result=type(None), errors=("catalog_not_found",),
    example={"name": "team"},
)
VERBS = (LIST, ADD, REFRESH, PUBLISH, VERIFY, REMOVE)
