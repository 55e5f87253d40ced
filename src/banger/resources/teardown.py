"""Release resources of the host from their records alone; a step that fails does not stop the others.

A resource that could not be released keeps its record, which says why for as long as this daemon lives; the next reader
of the record tries again.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from banger.errors import Error
from banger.resources.kind import AGAIN
from banger.resources.kinds import FILES, KINDS
from banger.store.resources import Resource, ResourceTable

log = logging.getLogger("banger.teardown")


@contextlib.contextmanager
def set_aside(resources: ResourceTable, directory: Path) -> Iterator[Path]:
    """Take the name of a published directory away at once; the block removes it under its new name. The record stays if
    this process ends in the block, or the block fails. Raises FileNotFoundError if the directory does not exist,
    `not_released` if the block raises OSError."""
    aside = directory.with_name(f".removed-{directory.name[:12]}-{os.urandom(4).hex()}")
    noted = resources.note(aside.name.removeprefix("."), FILES.name, {"path": str(aside)})
    try:
        os.rename(directory, aside)
    except OSError:
        _forget(resources, noted)
        raise
    try:
        yield aside
    except OSError as exc:
        error = Error("not_released", f"cannot remove {aside}: {exc.strerror or exc}", AGAIN)
        resources.keep(noted, error)
        raise error from exc
    _forget(resources, noted)


def _forget(resources: ResourceTable, noted: int) -> None:
    """Clear a record. A record that leads to nothing does no harm: the next daemon clears it."""
    try:
        resources.clear(noted)
    except Error as exc:
        log.warning("a record of a directory that is gone stays: %s", exc.message)


async def release(resources: ResourceTable, machine: str, kinds: frozenset[str] | None = None) -> list[Error]:
    """Release a machine's resources (of `kinds` only, if given), the newest first. A resource that could not be
    released keeps its record; the errors are returned."""
    held = resources.of_machine(machine)
    return await release_each(resources, [r for r in held if kinds is None or r.kind in kinds])


async def release_each(resources: ResourceTable, held: Iterable[Resource]) -> list[Error]:
    """As `release`, for the given resources."""
    errors = []
    for resource in held:
        error = await _release_one(resources, resource)
        if error is not None:
            log.warning("machine=%s %s: %s", resource.machine, resource.kind, error.message)
            resources.keep(resource.id, error)
            errors.append(error)
    return errors


def describe(resource: Resource) -> str:
    """The resource in words, for people."""
    kind = KINDS.get(resource.kind)
    return kind.describe(resource.identity) if kind else f"a resource of unknown kind {resource.kind!r}"


async def _release_one(resources: ResourceTable, resource: Resource) -> Error | None:
    """And clear its record. Returns why that is not possible."""
    kind = KINDS.get(resource.kind)
    if kind is None:
        return Error("internal", describe(resource))
    try:
        await kind.release(resource.identity)
        resources.clear(resource.id)
    except Error as exc:
        return exc
    except OSError as exc:
        return Error("not_released", f"cannot remove {describe(resource)}: {exc.strerror or exc}", AGAIN)
    return None
