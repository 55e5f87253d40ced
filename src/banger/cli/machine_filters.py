"""What --filter of `ps` can ask of a machine. Words of Docker's states are known, too."""

from __future__ import annotations

from banger.cli.docker_view import docker_state
from banger.cli.output import part_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from banger.client.messages import Json


def _has_label(machine: Json, value: str) -> bool:
    name, equals, wanted = value.partition("=")
    labels = part_of(machine, "spec").get("labels")
    return isinstance(labels, dict) and name in labels and (not equals or labels[name] == wanted)


def _is_of(machine: Json, image: str) -> bool:
    name = str(part_of(machine, "spec").get("image", ""))
    return image in (name, name.removesuffix(":latest"), str(machine.get("image_digest", "")))


def _ended_with(machine: Json, code: str) -> bool:
    ended = machine.get("exit")
    return isinstance(ended, dict) and str(ended.get("code")) == code


def _is_on(machine: Json, network: str) -> bool:
    networks = part_of(machine, "spec").get("networks")
    return isinstance(networks, list) and any(one.get("network") == network for one in networks)


FILTERS: dict[str, Callable[[Json, str], bool]] = {
    "name": lambda machine, value: value.lstrip("^/").rstrip("$") in str(machine.get("name", "")),
    "id": lambda machine, value: str(machine.get("id", "")).startswith(value),
    "label": _has_label,
    "status": lambda machine, value: value in (machine.get("state"), docker_state(machine)),
    "ancestor": _is_of,
    "exited": _ended_with,
    "network": _is_on,
    "health": lambda machine, value: value == (machine.get("health") or "none"),
}
