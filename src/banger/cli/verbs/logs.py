"""`vm logs`, and how a terminal is shown what a guest wrote."""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections.abc import Iterable

from banger.cli.daemon import Daemon
from banger.cli.parser import Arguments, Parser, UsageError, Verb, at_least, worded
from banger.cli.terminal import is_terminal
from banger.client.calls import machines_logs
from banger.model.shown import escaped

_VERB = "banger vm logs"


def _logs_arguments(parser: Parser) -> None:
    parser.flag("-f", "--follow", action="store_true", help="keep printing until the machine stops")
    window_flags(parser)
    parser.flag(
        "--console",
        action="store_true",
        help="print the console: messages of the kernel and of the image's init",
    )
    parser.flag(
        "--exec",
        nargs="?",
        const="",
        metavar="ID",
        help="print the output of the command with this number (default: the main command)",
    )
    parser.flag("--raw", action="store_true", help="pass escape sequences to the terminal unchanged")
    parser.positional("name", metavar="NAME", nargs="?", help="name or id of the machine")


def window_flags(parser: Parser, of_each: str = "") -> None:
    """Which lines, and whether with times."""
    parser.flag(
        "-n",
        "--tail",
        type=worded(_lines),
        metavar="N",
        help=f"print only the last N lines{of_each} (default: all)",
    )
    parser.flag(
        "-t",
        "--timestamps",
        action="store_true",
        help="begin each line with the time at which it came, in UTC",
    )
    when = 'this time, or this long ago, such as "2026-01-31T12:00" or "10m"'
    parser.flag("--since", type=_moment, metavar="WHEN", help=f"print only lines that came after {when}")
    parser.flag("--until", type=_moment, metavar="WHEN", help="print only lines that came before")


def _lines(text: str) -> int | None:
    """A number of lines; "all", and as in Docker a negative number, for all."""
    if text == "all" or (text[:1] == "-" and text[1:].isdecimal()):
        return None
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f'{text!r} is neither a number of lines nor "all"')
    return int(text)


def _moment(text: str) -> str:
    """A time as for `events`, loaded only for this; as in Docker also seconds since 1970."""
    from banger.cli.verbs.events import moment

    return moment(text)


def _logs(arguments: Arguments) -> int:
    name, exec_ = _told_apart(arguments)
    exec_id = at_least(1)(exec_) if exec_ else None
    if arguments.console and exec_ is not None:
        raise UsageError("--console and --exec exclude each other", _VERB)
    if arguments.console and (arguments.timestamps or arguments.since or arguments.until):
        raise UsageError(
            "the console is kept without times: --console excludes -t, --since and --until", _VERB
        )
    call = machines_logs(
        name,
        source="console" if arguments.console else "exec",
        tail=arguments.tail,
        follow=arguments.follow,
        exec=exec_id,
        timestamps=arguments.timestamps,
        since=arguments.since or "",
        until=arguments.until or "",
    )
    with Daemon().open(call) as answer:
        printed = _print(answer.chunks(), arguments.raw or not is_terminal(1))
    chosen = arguments.tail == 0 or arguments.since or arguments.until
    if not printed and not arguments.console and not chosen and is_terminal(2):
        from banger.cli.failure import warn

        warn(f"no output is kept; `banger vm logs --console {name}` prints the console")
    return 0


def _print(pieces: Iterable[bytes], raw: bool) -> bool:
    """Print the pieces. Returns whether there were any."""
    printed = False
    cleaner = None if raw else Cleaner()
    for piece in pieces:
        printed = printed or bool(piece)
        _write_all(cleaner.feed(piece) if cleaner else piece)
    if cleaner:
        _write_all(cleaner.feed(b"", final=True))
    return printed


def _told_apart(arguments: Arguments) -> tuple[str, str | None]:
    """The machine, and the value of `--exec`: in `--exec NAME` the value is the machine."""
    if arguments.name:
        return arguments.name, arguments.exec
    if arguments.exec:
        return arguments.exec, ""
    raise UsageError("the following arguments are required: NAME", _VERB)


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


def _write_all(data: bytes) -> None:
    """Write without Python's buffers, so that output appears at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


LOGS = Verb(
    _logs_arguments,
    _logs,
    "banger vm logs --follow dev\nbanger logs -t --since 10m dev\nbanger logs -n 20 dev\nbanger logs --console dev\n"
    "banger logs --exec 5 dev",
)
