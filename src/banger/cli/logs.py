"""`vm logs`."""

from __future__ import annotations

import os

from banger.cli.daemon import Daemon
from banger.cli.parser import Arguments, Parser, Verb, at_least
from banger.client.calls import machine_logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.calls import Source


def _logs_arguments(parser: Parser) -> None:
    parser.flag("-f", "--follow", action="store_true", help="go on until the machine stops")
    parser.flag("--tail", type=at_least(0), metavar="N", help="only the last N lines")
    parser.flag("--exec", action="store_true", help="the output of commands, rather than the console")
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _logs(arguments: Arguments) -> int:
    source: Source = "exec" if arguments.exec else "console"
    with Daemon().open(machine_logs(arguments.name, source, arguments.tail, arguments.follow)) as answer:
        for piece in answer.chunks():
            _write_all(piece)
    return 0


def _write_all(data: bytes) -> None:
    """Past Python's buffers: what came is shown at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


LOGS = Verb(_logs_arguments, _logs, "banger vm logs --follow dev\nbanger logs --tail 20 --exec dev")
