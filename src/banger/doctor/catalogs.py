"""Added catalogs: whether they can still be trusted and reached."""

from __future__ import annotations

import asyncio
import http.client
from urllib.request import urlopen

from banger.catalogs.shelf import Shelf
from banger.doctor.check import Mend, Sight, advise, in_thread
from banger.doctor.host import Host
from banger.model.catalog import Catalog

_ANSWER_S = 3.0
_BEGINNING_BYTES = 1


async def look_at_catalogs(host: Host) -> Sight:
    """The built-in catalog is a part of the program. Added catalogs work from the cache until they expire."""
    catalogs = await in_thread(lambda: Shelf(host.paths).list())
    added = [catalog for catalog in catalogs if catalog.url or catalog.problem]
    hurt = [catalog for catalog in added if catalog.problem]
    if hurt:
        return Sight(
            "; ".join(f"{catalog.name}: {catalog.problem}" for catalog in hurt),
            fine=False,
            mend=Mend("; ".join(f"banger catalog refresh {catalog.name}" for catalog in hurt)),
        )
    silent = [why for why in await asyncio.gather(*map(_why_silent, added)) if why]
    if silent:
        return Sight(
            "; ".join(silent),
            fine=False,
            mend=advise("check the network; until then banger uses the indexes in the cache"),
            status="hint",
        )
    return Sight(
        ", ".join(["the built-in catalog", *(f"{catalog.name} ({catalog.url})" for catalog in added)])
    )


async def _why_silent(catalog: Catalog) -> str:
    try:
        async with asyncio.timeout(_ANSWER_S):
            await in_thread(lambda: _read_beginning(catalog.url))
    except TimeoutError:
        return f"{catalog.name}: {catalog.url} does not answer within {_ANSWER_S:g} s"
    except (OSError, ValueError, http.client.HTTPException) as exc:
        return f"{catalog.name}: {catalog.url}: {exc}"
    return ""


def _read_beginning(url: str) -> None:
    with urlopen(url, timeout=_ANSWER_S) as answer:
        answer.read(_BEGINNING_BYTES)
