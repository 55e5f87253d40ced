"""What a machine was not allowed to reach, in words."""

from __future__ import annotations

from banger.cli.failure import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_SHOWN = 5


def warn_of_denials(denials: list[Json]) -> None:
    """Say what was denied, and which option would allow it; the rest only by number."""
    for denial in denials[:_SHOWN]:
        count = denial.get("count")
        times = f", {count} times" if isinstance(count, int) and count > 1 else ""
        option = f"; --allow {denial.get('allow')} allows it" if denial.get("allow") else ""
        warn(f"the machine may not reach {where(denial)}{times}{option}")
    if len(denials) > _SHOWN:
        warn(f"the machine may not reach {len(denials) - _SHOWN} more; banger events shows them")


def where(denial: Json) -> str:
    """Address, port and protocol."""
    address = str(denial.get("address"))
    host = f"[{address}]" if ":" in address else address
    where = f"{host}:{denial.get('port')}" if denial.get("port") else address
    return f"{where}/{denial.get('protocol')}"
