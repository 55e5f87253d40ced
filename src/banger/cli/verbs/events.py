"""`events`: the journal, and with --follow new events."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import json_text, printable
from banger.cli.parser import Arguments, Parser, UsageError, Verb
from banger.client.calls import system_events
from banger.client.exchange import decode_line
from banger.client.http1 import lost
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from banger.client.messages import Json

_KIND_WIDTH = 18
_LAST = "daemon.stopped"


def _events_arguments(parser: Parser) -> None:
    parser.flag(
        "--since",
        type=moment,
        metavar="WHEN",
        help='start at this time, or this long ago, such as "2026-01-31T12:00" or "10m"',
    )
    parser.flag("--until", type=moment, metavar="WHEN", help="print only events up to this time")
    parser.flag("-f", "--follow", action="store_true", help="keep printing events until the daemon stops")
    parser.flag("--machine", metavar="NAME", help="print only events of this machine and its snapshots")
    parser.flag("--json", action="store_true", help="print one JSON line per event, and errors as JSON")


def moment(text: str) -> str:
    """A `type` for argparse: a time, or how long ago, as RFC 3339 in UTC. A time without an offset is local."""
    from argparse import ArgumentTypeError
    from datetime import UTC, datetime, timedelta

    from banger.cli.durations import parse_duration

    try:
        found = datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except Error:
        try:
            found = _epoch(text) or datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError) as exc:
            raise ArgumentTypeError(
                f'{text!r} is neither a time, such as "2026-01-31T12:00", nor a duration, such as "10m"'
            ) from exc
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _epoch(text: str) -> datetime | None:
    """Seconds since 1970, as programs write them: a number that is too large for a duration."""
    from datetime import UTC, datetime

    whole, _, fraction = text.partition(".")
    if len(whole) != 10 or not (text.isascii() and (whole + fraction).isdigit()):
        return None
    return datetime.fromtimestamp(float(text), UTC)


def _events(arguments: Arguments) -> int:
    if arguments.until and arguments.follow:
        raise UsageError("--until and --follow exclude each other", "banger system events")
    call = system_events(
        since=arguments.since or "", machine=arguments.machine or "", follow=arguments.follow
    )
    last = ""
    with Daemon().open(call) as answer:
        for line in answer.lines():
            event = decode_line(line)
            if arguments.until and str(event.get("time", "")) > arguments.until:
                return 0
            last = str(event.get("kind", ""))
            print(json_text(event) if arguments.json else _row(event), flush=True)
    if arguments.follow and last != _LAST:
        raise lost("before it was stopped")
    return 0


def _row(event: Json) -> str:
    time, kind, message = (printable(str(event.get(name, ""))) for name in ("time", "kind", "message"))
    return f"{time}  {kind:<{_KIND_WIDTH}}  {message}"


EVENTS = Verb(
    _events_arguments, _events, "banger events --since 10m --machine dev\nbanger events --follow --json"
)
