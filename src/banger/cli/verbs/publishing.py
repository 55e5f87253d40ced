"""The user's own catalogs: `image publish`, `kernel publish`, `catalog verify`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag, seconds
from banger.cli.verbs.catalogs import read_key
from banger.client import calls

_DEFAULT_EXPIRY_S = 30 * 86400.0


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal


def _publish_arguments(parser: Parser) -> None:
    parser.flag(
        "--into",
        required=True,
        metavar="DIR",
        help="directory of the catalog, for you to upload; created if it does not exist",
    )
    parser.flag(
        "--key", metavar="FILE", help="minisign secret key that signs the index (default: no signature)"
    )
    parser.flag("--password-stdin", action="store_true", help="read the key's password from stdin")
    parser.flag("--catalog", default="", metavar="NAME", help="name of the catalog; required the first time")
    parser.flag(
        "--as", dest="entry", default="", metavar="NAME", help="name in the catalog (default: its name here)"
    )
    parser.flag(
        "--alias",
        dest="aliases",
        action="append",
        default=[],
        metavar="NAME",
        help="another name in the catalog; may be repeated",
    )
    parser.flag("--description", default="", metavar="TEXT", help="what the catalog says about it")
    parser.flag(
        "--provenance",
        default="",
        metavar="TEXT",
        help="who made the disk, and from what (default: its source)",
    )
    parser.flag(
        "--expires",
        type=seconds,
        default=_DEFAULT_EXPIRY_S,
        metavar="TIME",
        help="how long the index is valid (default: 720h)",
    )
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name, as `list` prints it")


def _publish(kind: Literal["image", "kernel"]) -> Callable[[Arguments], int]:
    def action(arguments: Arguments) -> int:
        from banger.cli.made import print_made
        from banger.cli.watching import finish_operation

        daemon = Daemon()
        begun = daemon.record(
            calls.catalogs_publish(
                kind,
                arguments.name,
                os.path.abspath(arguments.into),
                entry=arguments.entry,
                catalog=arguments.catalog,
                aliases=arguments.aliases,
                description=arguments.description,
                provenance=arguments.provenance,
                key_file=os.path.abspath(arguments.key) if arguments.key else "",
                password=sys.stdin.readline().rstrip("\n") if arguments.password_stdin else "",
                expires_s=arguments.expires,
            )
        )
        ended = finish_operation(daemon, begun, arguments.quiet)
        print_made(ended, arguments.json)
        return 0

    return action


def _verify_arguments(parser: Parser) -> None:
    parser.flag(
        "--key", required=True, metavar="KEY", help="minisign public key, or the file that contains it"
    )
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    json_flag(parser)
    parser.positional("directory", metavar="DIR", help="directory of the catalog")


def _verify(arguments: Arguments) -> int:
    from banger.cli.made import made_names
    from banger.cli.watching import finish_operation

    daemon = Daemon()
    directory = os.path.abspath(arguments.directory)
    begun = daemon.record(calls.catalogs_verify(directory, read_key(arguments.key)))
    ended = finish_operation(daemon, begun, arguments.quiet)
    print_json(ended) if arguments.json else print(printable(f"{' '.join(made_names(ended))}: all is well"))
    return 0


IMAGE_PUBLISH = Verb(
    _publish_arguments,
    _publish("image"),
    "banger image publish --into www --catalog lab --key lab.key app\n"
    "banger image publish --into www --key lab.key --alias latest app",
)
KERNEL_PUBLISH = Verb(
    _publish_arguments, _publish("kernel"), "banger kernel publish --into www --key lab.key debian-cloud"
)
VERIFY = Verb(_verify_arguments, _verify, "banger catalog verify --key lab.pub www")
