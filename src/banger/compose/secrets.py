"""`secrets` of a Compose file: where the value of each is. No file with a value is read here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

import msgspec

from banger.compose import refused
from banger.compose.complaint import Place, refuse
from banger.compose.project import ProjectSecret, Service
from banger.compose.reading import Reader
from banger.compose.services import read_labels
from banger.compose.tree import Node
from banger.model.secret import SecretName

_KEYS = ("file", "environment", "external", "name", "labels")
_FORM = "write file: ./password.txt, environment: VARIABLE or external: true"


def read_secrets(
    reader: Reader, project: str, directory: str, node: Node | None, services: Iterable[Service]
) -> dict[str, ProjectSecret]:
    """The secrets of the file that `services` may use, by their names in it. Raises `compose_invalid`."""
    found: dict[str, ProjectSecret] = {}
    for key, place, value in reader.entries(node, "secrets") if node is not None else ():
        found[key] = _read(reader, project, directory, key, place, value)
    for service in services:
        _check_used(service, found)
    return found


def _read(reader: Reader, project: str, directory: str, key: str, place: Place, node: Node) -> ProjectSecret:
    fields = reader.fields(node, f"secret {key}", _KEYS, refused.SECRET)
    external = "external" in fields and reader.flag(fields["external"], "external")
    sources = [name for name in ("file", "environment") if name in fields] + ["external"] * external
    if len(sources) != 1:
        raise refuse(place, f"secret {key} has {' and '.join(sources) or 'no value'}", _FORM)
    name = reader.text(fields["name"], "name") if "name" in fields else ""
    name = name or (key if external else f"{project}-{key}")
    try:
        msgspec.convert(name, SecretName)
    except msgspec.ValidationError as exc:
        hint = "use up to 64 letters, digits, '-', '_' and '.'"
        raise refuse(place, f"{name!r} cannot be the name of a secret", hint) from exc
    path = reader.text(fields["file"], "file") if "file" in fields else ""
    variable = reader.text(fields["environment"], "environment") if "environment" in fields else ""
    return ProjectSecret(
        key=key,
        name=name,
        file=os.path.abspath(os.path.join(directory, os.path.expanduser(path))) if path else "",
        variable=variable,
        value=reader.variables.values.get(variable) if variable else None,
        external=external,
        labels=read_labels(reader, fields.get("labels")),
    )


def _check_used(service: Service, secrets: Collection[str]) -> None:
    for used in service.secrets:
        if used.key not in secrets:
            raise refuse(
                used.place,
                f"service {service.name} uses the secret {used.key!r}, which the file does not have",
                f"add secrets: {{{used.key}: {{file: ./{used.key}.txt}}}} to the file",
            )
