"""An entry's sources, tried in their order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from banger.catalogs.index import check_usable
from banger.errors import Error
from banger.model.catalog import ImageEntry, KernelEntry, Source
from banger.model.operation import Report

T = TypeVar("T")


async def pull_first(
    entry: ImageEntry | KernelEntry,
    pull: Callable[[Source], Awaitable[T]],
    report: Report,
    hopeless: Collection[str],
) -> T:
    """What `pull` makes of the first source that works. With an error of the codes `hopeless` no other would. Raises
    what the last one raised."""
    check_usable(entry)
    *others, last = entry.sources
    for source in others:
        try:
            return await pull(source)
        except Error as exc:
            if exc.code in hopeless:
                raise
            report("warning", f"{entry.name}: {exc.message}; trying another source")
    return await pull(last)
