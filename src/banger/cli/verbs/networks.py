"""Named networks: `network create|list|show|connect|disconnect|delete|prune`."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.verbs.listing import print_list, print_names, text_of
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_HEADINGS = ("name", "internal", "machines", "age")
_MEMBER_HEADINGS = ("machine", "address", "ipv6", "aliases")


def _name(parser: Parser) -> None:
    parser.positional("name", metavar="NETWORK", help="name of the network")


def _create_arguments(parser: Parser) -> None:
    parser.flag(
        "--internal",
        action="store_true",
        help="machines that are only on internal networks reach nothing but one another",
    )
    json_flag(parser)
    _name(parser)


def _create(arguments: Arguments) -> int:
    network = Daemon().record(calls.networks_create(arguments.name, arguments.internal))
    print_json(network) if arguments.json else print(printable(text_of(network, "name")))
    return 0


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _list(arguments: Arguments) -> int:
    return print_list(arguments, Daemon().records(calls.networks_list()), _HEADINGS, _row)


def _row(network: Json) -> tuple[str, ...]:
    return (
        text_of(network, "name"),
        "yes" if network.get("internal") else "no",
        str(len(_members(network))),
        age(text_of(network, "created")),
    )


def _members(network: Json) -> list[Json]:
    members = network.get("members")
    return [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []


def _show_arguments(parser: Parser) -> None:
    json_flag(parser)
    _name(parser)


def _show(arguments: Arguments) -> int:
    network = Daemon().record(calls.networks_get(arguments.name))
    if arguments.json:
        print_json(network)
        return 0
    print(f"name: {printable(text_of(network, 'name'))}")
    print(f"internal: {'yes' if network.get('internal') else 'no'}")
    print_table(_MEMBER_HEADINGS, [_member_row(member) for member in _members(network)])
    return 0


def _member_row(member: Json) -> tuple[str, ...]:
    aliases = member.get("aliases")
    return (
        text_of(member, "machine"),
        text_of(member, "address"),
        text_of(member, "address_6"),
        " ".join(map(str, aliases)) if isinstance(aliases, list) else "",
    )


def _connect_arguments(parser: Parser) -> None:
    parser.flag(
        "--alias", action="append", metavar="NAME", help="a further name of the machine on this network"
    )
    json_flag(parser)
    _name(parser)
    parser.positional("vm", metavar="MACHINE", help="name or id of the machine")


def _connect(arguments: Arguments) -> int:
    network = Daemon().record(calls.networks_connect(arguments.name, arguments.vm, arguments.alias or []))
    print_json(network) if arguments.json else print(printable(arguments.vm))
    return 0


def _disconnect_arguments(parser: Parser) -> None:
    _name(parser)
    parser.positional("vm", metavar="MACHINE", help="name or id of the machine")


def _disconnect(arguments: Arguments) -> int:
    Daemon().call(calls.networks_disconnect(arguments.name, arguments.vm))
    print(printable(arguments.vm))
    return 0


def _delete_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("names", metavar="NETWORK", nargs="+", help="names of networks")


def _delete(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        daemon.call(calls.networks_delete(name))
        print_json(name) if arguments.json else print(printable(name), flush=True)

    return for_each(arguments.names, one, arguments.json)


def _prune_arguments(parser: Parser) -> None:
    parser.flag("-f", "--force", action="store_true", help="accepted as in Docker: this verb never asks")
    parser.flag("--dry-run", action="store_true", help="delete nothing; print what would be deleted")
    json_flag(parser)


def _prune(arguments: Arguments) -> int:
    networks = Daemon().records(calls.networks_prune(arguments.dry_run))
    print_json(networks) if arguments.json else print_names(networks)
    return 0


CREATE = Verb(_create_arguments, _create, "banger network create shop\nbanger network create --internal back")
LIST = Verb(_list_arguments, _list, "banger network list")
SHOW = Verb(_show_arguments, _show, "banger network show shop")
CONNECT = Verb(_connect_arguments, _connect, "banger network connect --alias sql shop db")
DISCONNECT = Verb(_disconnect_arguments, _disconnect, "banger network disconnect shop db")
DELETE = Verb(_delete_arguments, _delete, "banger network delete shop")
PRUNE = Verb(_prune_arguments, _prune, "banger network prune --dry-run")
