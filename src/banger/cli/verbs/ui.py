"""The web page: a link to it, and an end of it."""

from __future__ import annotations

import os

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, at_least, json_flag
from banger.cli.verbs.listing import text_of
from banger.client import calls
from banger.places import PAGE_NAME


def _arguments(parser: Parser) -> None:
    parser.flag("--no-open", action="store_true", help="print the link, and open no browser")
    parser.flag(
        "--port",
        type=at_least(1),
        metavar="PORT",
        help="listen on this port (default: the last one, or any that is free)",
    )
    parser.flag("--stop", action="store_true", help="listen no more, and end the sessions of browsers")
    json_flag(parser)


def _ui(arguments: Arguments) -> int:
    daemon = Daemon(start=not arguments.stop)
    if arguments.stop:
        daemon.call(calls.access_close())
        return 0
    doorway = daemon.record(calls.access_open(arguments.port))
    if arguments.json:
        print_json(doorway)
        return 0
    link = text_of(doorway, "link")
    print(printable(link))
    print("the link logs one browser in, once, within two minutes")
    if f"//{PAGE_NAME}:" in link:
        print(f"in a browser that does not find {PAGE_NAME}, write 127.0.0.1 in its place")
    if fingerprint := text_of(doorway, "fingerprint"):
        print(printable(f"SHA-256 of the certificate: {fingerprint}"))
    if doorway.get("has_page") is False:
        from banger.cli.failure import warn

        warn("the web page is not built: run `make setup` in the checkout, and then `banger ui` again")
        return 0
    if not arguments.no_open:
        from banger.client.start_browser import start_browser

        start_browser(link, os.path.dirname(daemon.path))
    return 0


UI = Verb(_arguments, _ui, "banger ui\nbanger ui --no-open --port 8040")
