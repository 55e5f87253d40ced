"""`vm top`: the processes in a machine, as the machine's own `ps` lists them."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.parser import Arguments, Parser, Verb
from banger.client.calls import machines_exec_target
from banger.errors import CommandMissing, Error

_NOT_FOUND = 127


def _top_arguments(parser: Parser) -> None:
    parser.positional("name", metavar="NAME", help="name or id of the machine")
    parser.positional(
        "command",
        metavar="OPTIONS",
        nargs="*",
        default=[],
        help="options of ps in the machine (default: -ef)",
    )


def _top(arguments: Arguments) -> int:
    from banger.cli.attachment import Attachment

    command = {"argv": ["ps", *(arguments.command or ["-ef"])], "user": "0", "cwd": "/"}
    try:
        ending = Attachment(
            Daemon().stream(machines_exec_target(arguments.name), {"command": command}), arguments.name
        ).run()
    except CommandMissing as exc:
        raise Error(
            exc.code,
            f"the image of {arguments.name} has no ps",
            f"`banger vm execs {arguments.name}` lists the commands that banger runs there",
        ) from exc
    return ending.code


TOP = Verb(_top_arguments, _top, "banger top dev\nbanger vm top dev aux", command_after=1)
