"""`vm diff`: what changed on a machine's disk."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client import calls
from banger.client.exchange import decode_line

_LETTERS = {"added": "A", "changed": "C", "deleted": "D"}


def _arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _diff(arguments: Arguments) -> int:
    with Daemon().open(calls.machines_diff(arguments.name)) as answer:
        changes = [decode_line(line) for line in answer.lines()]
    if arguments.json:
        print_json(changes)
        return 0
    for change in changes:
        letter = _LETTERS.get(str(change.get("kind", "")), "?")
        print(letter, printable(str(change.get("path", ""))))
    return 0


DIFF = Verb(_arguments, _diff, "banger diff dev")
