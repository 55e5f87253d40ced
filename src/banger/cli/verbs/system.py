"""The daemon: its facts, its start and its stop."""

from __future__ import annotations

from banger import places
from banger.cli.daemon import Daemon
from banger.cli.output import print_fields, print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client import start
from banger.client.calls import system_info, system_shutdown


def _nothing(parser: Parser) -> None:
    """The verb has no options of its own."""


def _info(arguments: Arguments) -> int:
    facts = Daemon().record(system_info())
    if arguments.json:
        print_json(facts)
    else:
        damage = facts.pop("store_damage", None)
        print_fields(facts)
        for what in damage if isinstance(damage, list) else ():
            print(f"store damage: {printable(str(what))}")
    return 0


def _start(arguments: Arguments) -> int:
    path = places.socket_path()
    begun = start.ensure_daemon(path)
    print(f"daemon {'started' if begun else 'runs already'} on {path}")
    return 0


def _stop(arguments: Arguments) -> int:
    print("daemon stopped" if _shut_down() else "no daemon runs")
    return 0


def _restart(arguments: Arguments) -> int:
    _shut_down()
    return _start(arguments)


def _shut_down() -> bool:
    """Ask the daemon to stop, and wait for the end of its process and of its waiting clones. False if no daemon ran."""
    return start.stop_daemon(places.socket_path(), lambda: Daemon(start=False).call(system_shutdown()))


INFO = Verb(json_flag, _info, "banger system info --json")
START = Verb(_nothing, _start, "banger system start")
STOP = Verb(_nothing, _stop, "banger system stop")
RESTART = Verb(_nothing, _restart, "banger system restart")
