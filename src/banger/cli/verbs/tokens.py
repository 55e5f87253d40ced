"""Tokens, for programs that use the API over TCP: `token create|list|revoke`."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag, seconds
from banger.cli.verbs.listing import print_list, text_of
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_HEADINGS = ("name", "rights", "age", "expires", "used")


def _create_arguments(parser: Parser) -> None:
    parser.flag("--read-only", action="store_true", help="allow no request that changes something")
    parser.flag(
        "--expires",
        type=seconds,
        metavar="TIME",
        help="make the token worthless after this time (default: never)",
    )
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name of the token, for people")


def _create(arguments: Arguments) -> int:
    call = calls.tokens_create(arguments.name, "read" if arguments.read_only else "write", arguments.expires)
    token = Daemon().record(call)
    print_json(token) if arguments.json else print(printable(text_of(token, "secret")))
    return 0


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _list(arguments: Arguments) -> int:
    return print_list(arguments, Daemon().records(calls.tokens_list()), _HEADINGS, _row)


def _row(token: Json) -> tuple[str, ...]:
    used = text_of(token, "used")
    return (
        text_of(token, "name"),
        text_of(token, "rights"),
        age(text_of(token, "made")),
        text_of(token, "expires") or "never",
        f"{age(used)} ago" if used else "never",
    )


def _revoke_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("names", metavar="NAME", nargs="+", help="names of tokens")


def _revoke(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        daemon.call(calls.tokens_revoke(name))
        print_json(name) if arguments.json else print(printable(name), flush=True)

    return for_each(arguments.names, one, arguments.json)


CREATE = Verb(_create_arguments, _create, "banger token create ci --read-only --expires 30d")
LIST = Verb(_list_arguments, _list, "banger token list")
REVOKE = Verb(_revoke_arguments, _revoke, "banger token revoke ci")
