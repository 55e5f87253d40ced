"""Kernels: requests and verbs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from banger.api.images import Search
from banger.api.verb import Nothing, Request, Verb
from banger.model.catalog import Offer
from banger.model.image import Kernel, Ref
from banger.model.operation import Operation


class OneKernel(Request):
    name: Ref


class PullKernel(Request):
    """`platform` is "os/architecture"; empty means the platform of this host."""

    ref: Ref
    force: bool = False
    platform: Annotated[str, Meta(max_length=64)] = ""


# fmt: off
LIST = Verb(
    name="kernels.list", summary="All kernels", method="GET", path="/v1/kernels", request=Nothing, result=list[Kernel],
)
GET = Verb(
    name="kernels.get", summary="One kernel", method="GET", path="/v1/kernels/{name}",
    request=OneKernel, result=Kernel, errors=("kernel_not_found",), example={"name": "debian-6.1"},
)
DELETE = Verb(
    name="kernels.delete", summary="Delete a kernel that no machine uses", method="DELETE", path="/v1/kernels/{name}",
    request=OneKernel, result=type(None), errors=("kernel_not_found", "in_use", "not_released"),
    example={"name": "debian-6.1"},
)
PULL = Verb(
    name="kernels.pull", summary="Fetch a kernel", method="POST", path="/v1/kernels/pull",
    request=PullKernel, result=Operation[Kernel], status=202, errors=("too_many_operations",),
    example={"ref": "debian-6.1"},
)
OFFERS = Verb(
    name="kernels.offers", summary="What catalogs offer", method="GET", path="/v1/kernels/catalog",
    request=Search, result=list[Offer], query=("search",), example={"search": "debian"},
)
VERBS = (LIST, PULL, OFFERS, GET, DELETE)
