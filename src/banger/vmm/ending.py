"""Why a guest stopped, as its VMM reported it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class EndKind(Enum):
    """UNKNOWN: the VMM said nothing, or no daemon ran to hear it. SIGNALLED: a signal of the host ended the VMM. OTHER:
    a reason that this banger does not know."""

    UNKNOWN = "unknown"
    POWERED_OFF = "powered_off"
    RESET = "reset"
    PANICKED = "panicked"
    SIGNALLED = "signalled"
    OTHER = "other"


class End(NamedTuple):
    """`said` is the VMM's own word for the reason, for people."""

    kind: EndKind
    said: str = ""


UNKNOWN_END = End(EndKind.UNKNOWN)
