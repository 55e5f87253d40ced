"""Secrets: requests and verbs. No verb answers with a value."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from banger.api.verb import BYTES, Nothing, Request, Upload, Verb
from banger.model.secret import Secret

_S = "/v1/secrets/{name}"
_LABEL_MAX = 1024


class OneSecret(Request):
    name: str


class PutSecret(OneSecret):
    """The body is the value: any bytes, also none, at most 512 KiB. A machine that runs keeps the value that it has
    until its next start. With `create` a secret that is there stays as it is. `label` is repeated, each NAME=VALUE;
    without any, the secret keeps its labels."""

    create: bool = False
    label: Annotated[list[Annotated[str, Meta(max_length=_LABEL_MAX)]], Meta(max_length=64)] = field(
        default_factory=list
    )


class DeleteSecret(OneSecret):
    """`force` also deletes a secret that machines use: they will not start without it."""

    force: bool = False


# fmt: off
LIST = Verb(
    name="secrets.list", summary="All secrets, without their values", method="GET", path="/v1/secrets",
    request=Nothing, result=list[Secret],
)
GET = Verb(
    name="secrets.get", summary="What is known of a secret, without its value", method="GET", path=_S,
    request=OneSecret, result=Secret, errors=("secret_not_found",), example={"name": "db-password"},
)
PUT = Upload(
    name="secrets.put", summary="Set a secret; the body is its value", method="PUT", path=_S, request=PutSecret,
    result=Secret, query=("create", "label"), takes=BYTES,
    errors=("bad_name", "name_taken", "too_many_secrets", "secret_key_lost"),
    example={"name": "db-password", "create": True, "label": ["team=shop"]},
)
DELETE = Verb(
    name="secrets.delete", summary="Delete a secret", method="DELETE", path=_S, request=DeleteSecret,
    result=type(None), query=("force",), errors=("secret_not_found", "in_use"), example={"name": "db-password"},
)
VERBS = (LIST, GET, PUT, DELETE)
