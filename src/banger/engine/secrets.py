"""Verbs of secrets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from banger.api import secrets as verbs
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.verbs import carries_out, takes_in
from banger.errors import Error
from banger.model.labels import Labels
from banger.model.machine import Machine, MachineSpec
from banger.model.principal import Principal
from banger.model.secret import Secret
from banger.vault.vault import check_secret_name, check_size

_NAMES_SHOWN = 5


@carries_out(verbs.LIST)
async def list_all(engine: Engine, principal: Principal, request: Nothing) -> list[Secret]:
    users = users_of_secrets(engine.registry.all())
    return [_with_users(secret, users) for secret in engine.makings.vault.all()]


@carries_out(verbs.GET)
async def get(engine: Engine, principal: Principal, request: verbs.OneSecret) -> Secret:
    secret = engine.makings.vault.find(request.name)
    return _with_users(secret, users_of_secrets(engine.registry.all()))


@takes_in(verbs.PUT)
async def put(
    engine: Engine, principal: Principal, request: verbs.PutSecret, body: AsyncIterator[bytes]
) -> Secret:
    check_secret_name(request.name)
    labels = _read_labels(request.label)
    value = bytearray()
    async for piece in body:
        value += piece
        check_size(len(value))
    secret = await engine.makings.vault.set(
        request.name, bytes(value), labels or None, replace=not request.create
    )
    return _with_users(secret, users_of_secrets(engine.registry.all()))


@carries_out(verbs.DELETE)
async def delete(engine: Engine, principal: Principal, request: verbs.DeleteSecret) -> None:
    vault = engine.makings.vault
    secret = _with_users(vault.find(request.name), users_of_secrets(engine.registry.all()))
    if secret.machines and not request.force:
        more = ", and others" if len(secret.machines) > _NAMES_SHOWN else ""
        raise Error(
            "in_use",
            f"machines use the secret {secret.name}: {', '.join(secret.machines[:_NAMES_SHOWN])}{more}",
            f"delete the machines first, or let them fail to start: banger secret delete --force {secret.name}",
            {"machines": list(secret.machines)},
        )
    vault.delete(secret.name)


def require_known(engine: Engine, spec: MachineSpec) -> None:
    """Raises `secret_not_found` for a machine that could never start."""
    for use in spec.secrets:
        engine.makings.vault.find(use.name)


def users_of_secrets(machines: Iterable[Machine]) -> dict[str, list[str]]:
    """The names of the machines that use each secret."""
    users: dict[str, list[str]] = {}
    for machine in machines:
        for name in dict.fromkeys(use.name for use in machine.spec.secrets):
            users.setdefault(name, []).append(machine.name)
    return users


def _with_users(secret: Secret, users: dict[str, list[str]]) -> Secret:
    return msgspec.structs.replace(secret, machines=tuple(sorted(users.get(secret.name, ()))))


def _read_labels(words: Iterable[str]) -> Labels:
    try:
        return msgspec.convert(dict(word.partition("=")[::2] for word in words), Labels)
    except msgspec.ValidationError as exc:
        raise Error(
            "bad_request", f"a label of the secret is wrong: {exc}", "write it like team=shop"
        ) from exc
