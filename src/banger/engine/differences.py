"""The verb that tells what changed on a machine's disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from banger.api import machines as verbs
from banger.engine.engine import Engine
from banger.engine.verbs import carries_out
from banger.errors import NoSuchMachine
from banger.host.thread import load_modules
from banger.model.difference import FileChange
from banger.model.principal import Principal

_DIFFERENCES = "banger.machines.copies.differences"
_PAGE = 1000


@carries_out(verbs.DIFF)
async def diff(
    engine: Engine, principal: Principal, request: verbs.DiffMachine
) -> AsyncIterator[Sequence[FileChange]]:
    """Two snapshots are found by name, also if the machine is deleted."""
    await load_modules(_DIFFERENCES)
    from banger.machines.copies.differences import Wish, find_changes

    try:
        machine = engine.registry.find(request.machine)
        name = machine.name
    except NoSuchMachine:
        if not request.newer:
            raise
        machine, name = None, request.machine
    wish = Wish(request.older, request.newer, principal.uid)
    changes = await find_changes(engine.snapshots, engine.lives, engine.makings, name, machine, wish)
    return _pages(changes)


async def _pages(changes: list[FileChange]) -> AsyncIterator[Sequence[FileChange]]:
    for begin in range(0, len(changes), _PAGE):
        yield changes[begin : begin + _PAGE]
