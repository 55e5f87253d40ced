"""The names of what an operation made."""

from __future__ import annotations

from banger.cli.output import print_json, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json


def print_made(operation: Json, as_json: bool) -> None:
    """Print the ended operation as JSON, or the names of what it made, one per line."""
    if as_json:
        print_json(operation)
        return
    for name in made_names(operation):
        print(printable(name))


def made_names(operation: Json) -> list[str]:
    """Names of machines, images, kernels, entries and catalogs; MACHINE:TAG of a snapshot."""
    made = operation.get("result")
    several = made if isinstance(made, list) else [] if made is None else [made]
    return [name for one in several for name in (_name(one), *_other_names(one))]


def _other_names(made: object) -> list[str]:
    return list(made.get("other_names", ())) if isinstance(made, dict) else []


def _name(made: object) -> str:
    if not isinstance(made, dict):
        return str(made)
    if "tag" in made:
        return f"{made.get('machine', '')}:{made['tag']}"
    return str(next((made[field] for field in ("name", "entry", "catalog") if made.get(field)), ""))
