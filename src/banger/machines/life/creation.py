"""Create a machine only once, even if the client sends the request several times."""

from __future__ import annotations

import hashlib
import re

import msgspec

from banger.errors import Error
from banger.machines.keep.registry import Registry
from banger.machines.life.lifecycle import create
from banger.model.machine import Machine, MachineSpec
from banger.store.keys import KeyTable, Made
from banger.vmm.drivers import Drivers

_KEY = re.compile(r"[!-~]{1,128}")


def check_key(key: str) -> str:
    """Raises `bad_request`."""
    if not _KEY.fullmatch(key):
        raise Error("bad_request", "an idempotency key has 1 to 128 visible ASCII characters", "use a UUID")
    return key


def create_once(
    registry: Registry,
    drivers: Drivers,
    keys: KeyTable,
    spec: MachineSpec,
    key: str,
    owner: int | None = None,
) -> tuple[Machine, bool]:
    """The machine that `key` made within the last day, or a new machine; True for a new machine.

    Raises `idempotency_conflict` for a key that was used for another request or whose machine is gone, and the errors
    of `create`."""
    request = hashlib.sha256(msgspec.json.encode(spec, order="deterministic")).hexdigest()
    made = keys.find(check_key(key))
    if made is not None:
        return _made_before(registry, made, request, key), False

    def note_key(machine: Machine) -> None:
        keys.put(key, Made(machine.id, request))

    return create(registry, drivers, spec, also=note_key, owner=owner), True


def _made_before(registry: Registry, made: Made, request: str, key: str) -> Machine:
    if made.request != request:
        raise _conflict(key, "was used for another request", made)
    try:
        return registry.find(made.machine)
    except Error as exc:
        raise _conflict(key, "made a machine that is gone", made) from exc


def _conflict(key: str, why: str, made: Made) -> Error:
    return Error(
        "idempotency_conflict",
        f"the idempotency key {key!r} {why}",
        "use a new key for a new machine",
        {"machine": made.machine},
    )
