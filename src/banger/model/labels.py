"""Labels: words that users put on machines and networks, for themselves and for programs. banger never reads their
meaning; only its clients `compose` and `mcp` have labels of their own."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

# In characters.
NAME_MAX, VALUE_MAX = 128, 4096

LabelName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
LabelValue = Annotated[str, Meta(max_length=VALUE_MAX)]
Labels: TypeAlias = Annotated[dict[LabelName, LabelValue], Meta(max_length=64)]
