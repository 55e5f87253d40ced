"""Catalogs: `catalog add|list|remove|refresh`, and their entries: `image catalog`, `kernel catalog`."""

from __future__ import annotations

import os
from collections.abc import Callable

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.verbs.listing import print_names, text_of
from banger.client import calls
from banger.errors import Error
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Call
    from banger.client.messages import Json

_HEADINGS = ("name", "arch", "size", "from", "here", "catalog", "description")
_CATALOG_HEADINGS = ("name", "version", "made", "expires", "images", "kernels", "url", "problem")
_KEY_BYTES = 1024


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _list(arguments: Arguments) -> int:
    return _print(Daemon().records(calls.catalogs_list()), arguments.json, arguments.quiet)


def _print(catalogs: list[Json], as_json: bool, quiet: bool = False) -> int:
    if as_json:
        print_json(catalogs)
    elif quiet:
        print_names(catalogs)
    else:
        print_table(_CATALOG_HEADINGS, [_catalog_row(catalog) for catalog in catalogs])
    return 0


def _catalog_row(catalog: Json) -> tuple[str, ...]:
    return (
        text_of(catalog, "name"),
        text_of(catalog, "version"),
        f"{age(text_of(catalog, 'created'))} ago",
        text_of(catalog, "expires") or "never",
        text_of(catalog, "images"),
        text_of(catalog, "kernels"),
        text_of(catalog, "url"),
        text_of(catalog, "problem"),
    )


def _add_arguments(parser: Parser) -> None:
    parser.flag(
        "--key",
        required=True,
        metavar="KEY",
        help="minisign public key of the catalog, or the file that contains it; banger pins the key",
    )
    parser.flag(
        "--name", default="", metavar="NAME", help="name for the catalog (default: the name in its index)"
    )
    json_flag(parser)
    parser.positional(
        "url", metavar="URL", help="URL of the catalog's index.json, or of the directory that contains it"
    )


def _add(arguments: Arguments) -> int:
    url = arguments.url if "://" in arguments.url else f"file://{os.path.abspath(arguments.url)}"
    catalog = Daemon().record(calls.catalogs_add(url, read_key(arguments.key), arguments.name))
    print_json(catalog) if arguments.json else print(printable(str(catalog.get("name", ""))))
    return 0


def read_key(text: str) -> str:
    """The text itself if it is a key, or else the contents of the file with this name."""
    if not os.path.exists(text):
        return text
    try:
        with open(text, encoding="ascii") as file:
            return file.read(_KEY_BYTES)
    except (OSError, UnicodeDecodeError) as exc:
        raise Error("file_not_found", f"cannot read the key in {text}: {exc}") from exc


def _remove_arguments(parser: Parser) -> None:
    parser.positional("names", metavar="NAME", nargs="+", help="names of catalogs")


def _remove(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        daemon.call(calls.catalogs_remove(name))
        print(name, flush=True)

    return for_each(arguments.names, one)


def _refresh_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional(
        "name", metavar="NAME", nargs="?", default="", help="refresh only this catalog (default: all)"
    )


def _refresh(arguments: Arguments) -> int:
    """Exits with 125 if a catalog could not be refreshed."""
    catalogs = Daemon().records(calls.catalogs_refresh(arguments.name))
    _print(catalogs, arguments.json)
    return 125 if any(catalog.get("problem") for catalog in catalogs) else 0


def _offer_arguments(parser: Parser) -> None:
    parser.flag(
        "--search", default="", metavar="WORDS", help="list only entries that contain all these words"
    )
    json_flag(parser)


def _search_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("search", metavar="WORDS", help="words that the entry contains")


def _offers(call: Callable[[str], Call[object]]) -> Callable[[Arguments], int]:
    def action(arguments: Arguments) -> int:
        offers = Daemon().records(call(arguments.search))
        if arguments.json:
            print_json(offers)
        else:
            print_table(_HEADINGS, [_row(offer) for offer in offers])
        return 0

    return action


def _row(offer: Json) -> tuple[str, ...]:
    size, sources = offer.get("size_bytes"), offer.get("sources")
    return (
        text_of(offer, "ref"),
        text_of(offer, "architecture"),
        format_size(size) if isinstance(size, int) and size else "",
        ", ".join(map(str, sources)) if isinstance(sources, list) else "",
        "yes" if offer.get("here") is True else "",
        text_of(offer, "catalog"),
        text_of(offer, "description"),
    )


LIST = Verb(_list_arguments, _list, "banger catalog list")
ADD = Verb(_add_arguments, _add, "banger catalog add https://images.example.org/banger --key images.pub")
REMOVE = Verb(_remove_arguments, _remove, "banger catalog remove lab")
REFRESH = Verb(_refresh_arguments, _refresh, "banger catalog refresh")
IMAGE_SEARCH = Verb(_search_arguments, _offers(calls.images_offers), "banger search debian")
IMAGE_CATALOG = Verb(
    _offer_arguments,
    _offers(calls.images_offers),
    "banger image catalog\nbanger image catalog --search systemd",
)
KERNEL_CATALOG = Verb(_offer_arguments, _offers(calls.kernels_offers), "banger kernel catalog")
