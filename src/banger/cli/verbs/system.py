"""The daemon: its facts, its start and its stop."""

from __future__ import annotations

from contextlib import suppress

from banger import __version__, places
from banger.cli.daemon import Daemon
from banger.cli.output import print_fields, print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client import start
from banger.client.calls import system_info, system_shutdown
from banger.client.way import names_host, refuse_elsewhere
from banger.errors import DaemonLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json


def _nothing(parser: Parser) -> None:
    """The verb has no options of its own."""


def _info(arguments: Arguments) -> int:
    facts = Daemon().record(system_info())
    if arguments.format is not None:
        _print_format({"ServerVersion": facts.get("version"), **facts}, arguments.format)
    elif arguments.json:
        print_json(facts)
    else:
        damage = facts.pop("store_damage", None)
        print_fields(facts)
        for what in damage if isinstance(damage, list) else ():
            print(f"store damage: {printable(str(what))}")
    return 0


def _start(arguments: Arguments) -> int:
    refuse_elsewhere("this starts a daemon of this user")
    path = places.socket_path()
    begun = start.ensure_daemon(path)
    print(f"daemon {'started' if begun else 'runs already'} on {path}")
    return 0


def _stop(arguments: Arguments) -> int:
    print("daemon stopped" if _shut_down() else "no daemon runs")
    return 0


def _restart(arguments: Arguments) -> int:
    refuse_elsewhere("this starts a daemon of this user")
    _shut_down()
    return _start(arguments)


def _shut_down() -> bool:
    """Ask the daemon to stop, and wait for the end of its process and of its waiting clones, if it is this user's own.
    False if no daemon ran."""
    daemon = Daemon(start=False)
    if names_host():
        daemon.call(system_shutdown())
        return True
    return start.stop_daemon(daemon.path, lambda: daemon.call(system_shutdown()))


def _format_option(parser: Parser) -> None:
    parser.flag("-f", "--format", metavar="TEMPLATE", help='print only this, such as "{{.version}}"')
    json_flag(parser)


def _version(arguments: Arguments) -> int:
    """Does not start a daemon."""
    theirs: Json = {}
    with suppress(DaemonLost):
        theirs = Daemon(start=False).record(system_info())
    versions: Json = {
        "Client": {"Version": __version__},
        "Server": {"Version": theirs["version"]} if theirs else None,
    }
    if arguments.format is not None:
        _print_format(versions, arguments.format)
    elif arguments.json:
        print_json(versions)
    else:
        print(f"banger {__version__}")
        print(printable(f"daemon {theirs['version']}" if theirs else "no daemon runs"))
    return 0


def _print_format(facts: Json, format_: str) -> None:
    from banger.cli.formats import print_formatted

    print_formatted([facts], format_)


INFO = Verb(_format_option, _info, "banger system info --json")
START = Verb(_nothing, _start, "banger system start")
VERSION = Verb(_format_option, _version, "banger version")
STOP = Verb(_nothing, _stop, "banger system stop")
RESTART = Verb(_nothing, _restart, "banger system restart")
