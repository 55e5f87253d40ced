"""`vm inspect`: machines, images, networks and volumes as JSON, with the field names of Docker beside banger's own."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.failure import report
from banger.cli.output import json_text, printable, withhold
from banger.cli.parser import Arguments, Parser, Verb
from banger.client import calls
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from banger.client.call import Call
    from banger.client.messages import Json

_TYPES = {"container": "machine", "vm": "machine"}


def _inspect_arguments(parser: Parser) -> None:
    parser.flag(
        "--type",
        metavar="KIND",
        choices=("machine", "container", "vm", "image", "network", "volume"),
        help="look only for this kind: machine, image, network or volume (default: one after the other)",
    )
    _arguments(parser)


def _arguments(parser: Parser) -> None:
    parser.flag(
        "-f", "--format", metavar="TEMPLATE", help='print only this, such as "{{.State.Pid}}" or "{{json .}}"'
    )
    parser.flag("-s", "--size", action="store_true", help="accepted as in Docker: sizes are always there")
    parser.flag("--show-env", action="store_true", help="show the values of variables, too")
    parser.positional("names", metavar="NAME", nargs="+", help="names or ids")


def _inspect(arguments: Arguments) -> int:
    return _print(arguments, _TYPES.get(arguments.type, arguments.type))


def _print(arguments: Arguments, kind: str | None) -> int:
    daemon, found, code = Daemon(), [], 0
    for name in arguments.names:
        try:
            record = _find(daemon, name, kind)
            found.append(record if arguments.show_env else _without_values(record))
        except Error as exc:
            code = max(code, report(exc, arguments.json))
    if arguments.format is None:
        print(json_text(found, indent=2))
        return code
    from banger.cli.formats import print_formatted

    print_formatted(found, arguments.format)
    return code


def _without_values(record: Json) -> Json:
    """The record without values of variables, which are often passwords, in both forms."""
    hidden = withhold(record)
    assert isinstance(hidden, dict)
    config = hidden.get("Config")
    if isinstance(config, dict) and "spec" in hidden and isinstance(config.get("Env"), list):
        hidden["Config"] = config | {"Env": [f"{pair.partition('=')[0]}=***" for pair in config["Env"]]}
    return hidden


def _find(daemon: Daemon, name: str, kind: str | None) -> Json:
    """The record of that kind, or of the first kind that has the name, with Docker's fields beside its own."""
    from banger.cli.docker_view import (
        inspected_image,
        inspected_machine,
        inspected_network,
        inspected_secret,
        inspected_volume,
    )

    kinds: dict[str, tuple[Callable[[str], Call[object]], Callable[[Json], Json]]] = {
        "machine": (calls.machines_get, inspected_machine),
        "image": (calls.images_get, inspected_image),
        "network": (calls.networks_get, inspected_network),
        "volume": (calls.volumes_get, inspected_volume),
    }
    if kind == "secret":
        kinds[kind] = (calls.secrets_get, inspected_secret)
    for call, view in [kinds[kind]] if kind else kinds.values():
        try:
            record = daemon.record(call(name))
            return view(record) | record
        except Error as exc:
            if kind or exc.http_status not in (400, 404):
                raise
    hint = "`banger ps`, `banger images`, `banger network list` and `banger volume list` list all"
    raise Error(
        "machine_not_found", f"no machine, image, network or volume is named {printable(name)!r}", hint
    )


IMAGE_INSPECT = Verb(
    _arguments, lambda arguments: _print(arguments, "image"), "banger image inspect debian-bookworm"
)
NETWORK_INSPECT = Verb(
    _arguments, lambda arguments: _print(arguments, "network"), "banger network inspect shop"
)
VOLUME_INSPECT = Verb(_arguments, lambda arguments: _print(arguments, "volume"), "banger volume inspect data")
SECRET_INSPECT = Verb(
    _arguments, lambda arguments: _print(arguments, "secret"), "banger secret inspect db-password"
)
INSPECT = Verb(_inspect_arguments, _inspect, "banger inspect dev\nbanger inspect -f '{{.State.Status}}' dev")
