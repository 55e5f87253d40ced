"""`vm logs`, and how a terminal is shown what a guest wrote."""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections.abc import Iterable

from banger.cli.daemon import Daemon
from banger.cli.parser import Arguments, Parser, UsageError, Verb, at_least
from banger.cli.terminal import is_terminal
from banger.client.calls import machines_logs
from banger.model.shown import escaped


def _logs_arguments(parser: Parser) -> None:
    parser.flag("-f", "--follow", action="store_true", help="keep printing until the machine stops")
    parser.flag("--tail", type=at_least(0), metavar="N", help="print only the last N lines")
    parser.flag(
        "--exec",
        nargs="?",
        const="",
        metavar="ID",
        help="print the output of the main command, or of the command with this number, instead of the console",
    )
    parser.flag("--raw", action="store_true", help="pass escape sequences to the terminal unchanged")
    parser.positional("name", metavar="NAME", nargs="?", help="name or id of the machine")


def _logs(arguments: Arguments) -> int:
    name, exec_ = _told_apart(arguments)
    exec_id = at_least(1)(exec_) if exec_ else None
    call = machines_logs(
        name, "console" if exec_ is None else "exec", arguments.tail, arguments.follow, exec_id
    )
    with Daemon().open(call) as answer:
        if arguments.raw or not is_terminal(1):
            for piece in answer.chunks():
                _write_all(piece)
        else:
            _show(answer.chunks())
    return 0


def _told_apart(arguments: Arguments) -> tuple[str, str | None]:
    """The machine, and the value of `--exec`: in `--exec NAME` the value is the machine."""
    if arguments.name:
        return arguments.name, arguments.exec
    if arguments.exec:
        return arguments.exec, ""
    raise UsageError("the following arguments are required: NAME", "banger vm logs")


class Cleaner:
    """Makes what a guest wrote harmless for a terminal: lines and tabs stay, escape sequences are shown as text."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("surrogateescape")
        self._held = ""

    def feed(self, data: bytes, final: bool = False) -> bytes:
        """Hold back an incomplete character, and a carriage return that may belong to the end of a line, until the
        next piece; with `final`, nothing."""
        text = self._held + self._decoder.decode(data, final)
        self._held = "\r" if text.endswith("\r") and not final else ""
        text = text.removesuffix(self._held) if self._held else text
        lines = text.replace("\r\n", "\n").split("\n")
        return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in lines).encode()


def _show(pieces: Iterable[bytes]) -> None:
    cleaner = Cleaner()
    for piece in pieces:
        _write_all(cleaner.feed(piece))
    _write_all(cleaner.feed(b"", final=True))


def _write_all(data: bytes) -> None:
    """Write without Python's buffers, so that output appears at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


LOGS = Verb(
    _logs_arguments,
    _logs,
    "banger vm logs --follow dev\nbanger logs --tail 20 --exec dev\nbanger logs --exec 5 dev",
)
