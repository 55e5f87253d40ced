"""Why a guest stopped, as its VMM saw it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class EndKind(Enum):
    """UNKNOWN: the VMM said nothing, or nobody was there to hear it. SIGNALLED: the VMM was ended from the host. OTHER:
    something that this banger has no word for."""

    UNKNOWN = "unknown"
    POWERED_OFF = "powered_off"
    RESET = "reset"
    PANICKED = "panicked"
    SIGNALLED = "signalled"
    OTHER = "other"


class End(NamedTuple):
    """`said` is the VMM's own word, for people."""

    kind: EndKind
    said: str = ""


UNKNOWN_END = End(EndKind.UNKNOWN)
