"""Source for asyncio → the same source without it. Pure.

What the SDK does with a machine is written once, for asyncio; this makes the blocking half. Both halves use the same
names for what differs underneath: modules `aio_*` and `sync_*`, classes `AsyncX` and `X`.
"""

from __future__ import annotations

import re

_CHANGES = (
    (r"\ban `async with`", "a `with`"),
    (r"\basync (?=def |with |for )", ""),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\baio_stream\b", "stream"),
    (r"\baio_", "sync_"),
    (r"\bclient\.aio\b", "client.sync"),
    (r"\(for asyncio\)", "(blocking)"),
)
_HEAD = "# Written by `python -m banger.api.generate` from {name}; not by hand.\n# fmt: off\n"


def without_asyncio(name: str, source: str) -> str:
    """The blocking half of the module `name`, which is for asyncio."""
    for pattern, replacement in _CHANGES:
        source = re.sub(pattern, replacement, source)
    return _HEAD.format(name=name) + source
