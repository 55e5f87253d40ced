"""Labels: words that users put on machines and networks, for themselves and for programs. banger never reads their
meaning; only `compose`, which is a client, has labels of its own."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

LabelName = Annotated[str, Meta(min_length=1, max_length=128)]
LabelValue = Annotated[str, Meta(max_length=4096)]
Labels: TypeAlias = Annotated[dict[LabelName, LabelValue], Meta(max_length=64)]
