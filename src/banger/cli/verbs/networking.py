"""`vm network` and `vm port`."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import part_of, print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, UsageError, Verb, json_flag
from banger.client import calls
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_ACTIONS = ("add", "remove", "list")
POLICIES = ("none", "internet", "lan", "host")
_RULE = "HOST[:PORT]"


def _network_arguments(parser: Parser) -> None:
    parser.flag(
        "--network", metavar="POLICY", choices=POLICIES, help="the new policy: none, internet, lan or host"
    )
    parser.flag("--allow", action="append", metavar=_RULE, help="also let the machine reach this")
    parser.flag("--deny", action="append", metavar=_RULE, help="do not let the machine reach this")
    parser.flag("--clear", action="store_true", help="forget the exceptions that the machine has")
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _network(arguments: Arguments) -> int:
    daemon = Daemon()
    if arguments.network or arguments.allow or arguments.deny or arguments.clear:
        call = calls.machines_change_network(
            arguments.name,
            arguments.network or "",
            arguments.allow or [],
            arguments.deny or [],
            arguments.clear,
        )
    else:
        call = calls.machines_get(arguments.name)
    machine = daemon.record(call)
    if arguments.json:
        print_json(machine.get("network"))
    else:
        _print_network(machine)
    return 0


def _print_network(machine: Json) -> None:
    from banger.cli.denials import where

    spec, network = part_of(machine, "spec"), part_of(machine, "network")
    policy = network.get("policy") or spec.get("network") or "the default of the configuration"
    print(f"policy: {printable(str(policy))}")
    joined = spec.get("networks")
    if isinstance(joined, list) and joined:
        print(f"networks: {printable(' '.join(str(one.get('network')) for one in joined))}")
    for name in ("allow", "deny"):
        rules = spec.get(name)
        if isinstance(rules, list) and rules:
            print(f"{name}: {printable(' '.join(map(str, rules)))}")
    if ports := ports_of(machine):
        print(f"ports: {printable(' '.join(map(show_port, ports)))}")
    if network.get("denied"):
        print(f"denied: {network['denied']} attempts")
    denials = network.get("denials")
    for denial in denials if isinstance(denials, list) else ():
        print(f"  {printable(where(denial))}: {denial.get('count')}, {printable(str(denial.get('rule')))}")


def _port_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional(
        "action", metavar="[add|remove|list]", help="what to do (default: print where ports are published)"
    )
    parser.positional("name", metavar="NAME", nargs="?", help="name or id of the machine")
    parser.positional(
        "port",
        metavar="[BIND:]HOST:GUEST[/PROTOCOL]",
        nargs="?",
        help='a port of this host and a port of the machine, such as "8080:80"',
    )


def _port(arguments: Arguments) -> int:
    if arguments.action not in _ACTIONS:
        return _print_places(arguments.action, arguments.name, arguments.json)
    if arguments.name is None:
        raise UsageError("the following arguments are required: NAME", "banger vm port")
    if (arguments.action == "list") == (arguments.port is not None):
        raise Error(
            "bad_request", "add and remove need a port, list needs none", "banger vm port add dev 8080:80"
        )
    daemon = Daemon()
    if arguments.action == "add":
        machine = daemon.record(calls.machines_publish(arguments.name, arguments.port))
    elif arguments.action == "remove":
        machine = daemon.record(calls.machines_unpublish(arguments.name, arguments.port))
    else:
        machine = daemon.record(calls.machines_get(arguments.name))
    if arguments.json:
        print_json(ports_of(machine))
    elif machine.get("state") not in ("running", "paused"):
        print_table(("published at its next start",), [(text,) for text in _asked(machine)])
    else:
        rows = [(_address(port), _guest_port(port)) for port in ports_of(machine)]
        print_table(("host", "machine"), rows)
    return 0


def _print_places(name: str, port: str | None, as_json: bool) -> int:
    """Where the ports of a machine are published, or one of them, such as "80" or "53/udp"."""
    wanted = port if port is None or "/" in port else f"{port}/tcp"
    ports = ports_of(Daemon().record(calls.machines_get(name)))
    found = [one for one in ports if wanted in (None, _guest_port(one))]
    if wanted is not None and not found:
        hint = f"banger vm port add {name} 0:{wanted.removesuffix('/tcp')}"
        raise Error("not_found", f"no port of this host leads to port {wanted} of {name}", hint)
    if as_json:
        print_json(found)
        return 0
    for one in found:
        print(printable(_address(one) if wanted else f"{_guest_port(one)} -> {_address(one)}"))
    return 0


def _guest_port(port: Json) -> str:
    return f"{port.get('guest_port')}/{port.get('protocol')}"


def _asked(machine: Json) -> list[str]:
    """The ports as the user gave them."""
    ports = part_of(machine, "spec").get("ports")
    return [str(port) for port in ports] if isinstance(ports, list) else []


def ports_of(machine: Json) -> list[Json]:
    """The published ports of a machine."""
    ports = part_of(machine, "network").get("ports")
    return [port for port in ports if isinstance(port, dict)] if isinstance(ports, list) else []


def published_at(guest_port: Json) -> list[str]:
    """Where a port of a guest is published."""
    published = guest_port.get("published")
    return (
        [_address(one) for one in published if isinstance(one, dict)] if isinstance(published, list) else []
    )


def show_port(port: Json) -> str:
    """A published port, as one word."""
    protocol = "" if port.get("protocol") == "tcp" else f"/{port.get('protocol')}"
    return f"{_address(port)}->{port.get('guest_port')}{protocol}"


def _address(port: Json) -> str:
    bind = str(port.get("bind"))
    return f"[{bind}]:{port.get('port')}" if ":" in bind else f"{bind}:{port.get('port')}"


NETWORK = Verb(
    _network_arguments,
    _network,
    "banger vm network dev\nbanger vm network --network lan --allow example.com:443 dev",
)
PORT = Verb(
    _port_arguments, _port, "banger vm port add dev 8080:80\nbanger vm port list dev\nbanger port dev 80"
)
