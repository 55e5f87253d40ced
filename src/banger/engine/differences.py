"""The verb that tells what changed on a machine's disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from banger.api import machines as verbs
from banger.engine.engine import Engine
from banger.engine.verbs import carries_out
from banger.host.thread import load_modules
from banger.model.difference import FileChange
from banger.model.principal import Principal

_DIFFERENCES = "banger.machines.copies.differences"
_PAGE = 1000


@carries_out(verbs.DIFF)
async def diff(
    engine: Engine, principal: Principal, request: verbs.OneMachine
) -> AsyncIterator[Sequence[FileChange]]:
    machine = engine.registry.find(request.machine)
    await load_modules(_DIFFERENCES)
    from banger.machines.copies.differences import find_changes

    return _pages(await find_changes(engine.lives, engine.makings, machine, principal.uid))


async def _pages(changes: list[FileChange]) -> AsyncIterator[Sequence[FileChange]]:
    for begin in range(0, len(changes), _PAGE):
        yield changes[begin : begin + _PAGE]
