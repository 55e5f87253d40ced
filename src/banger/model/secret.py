"""A secret: what is known of it, and what a machine does with it. Its value is in no record."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from banger.model.labels import Labels

DIRECTORY = "/run/secrets"

SecretName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]


class Secret(Struct, kw_only=True, frozen=True):
    """`created` and `changed` are the times (RFC 3339, UTC) of its first and its latest value, and `machines` the names
    of the machines that use it. No answer has its value."""

    name: str
    created: str
    changed: str
    labels: Labels = {}
    machines: tuple[str, ...] = ()


class SecretUse(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The secret `name` in a machine, as a file or a variable. `target` is the path or the name of the variable: a
    path that does not begin with "/" is below /run/secrets, and empty means the name of the secret. A file belongs to
    the user of the machine's command, unless `uid` or `gid` say otherwise, and has the `mode`, which is for reading
    alone."""

    name: SecretName
    kind: Literal["file", "env"] = "file"
    target: Annotated[str, Meta(max_length=4095, pattern=r"^[^\x00]*\Z")] = ""
    mode: Annotated[int, Meta(ge=0, le=0o777)] = 0o400
    uid: Annotated[int, Meta(ge=0, le=0xFFFFFFFE)] | None = None
    gid: Annotated[int, Meta(ge=0, le=0xFFFFFFFE)] | None = None

    @property
    def path(self) -> str:
        """Where the file is."""
        target = self.target or self.name
        return target if target.startswith("/") else f"{DIRECTORY}/{target}"

    @property
    def variable(self) -> str:
        return self.target or self.name
