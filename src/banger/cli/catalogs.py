"""What catalogs offer: `image catalog` and `kernel catalog`."""

from __future__ import annotations

from collections.abc import Callable

from banger.cli.daemon import Daemon
from banger.cli.listing import text_of
from banger.cli.output import print_json, print_table
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client import calls
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.calls import Call
    from banger.client.messages import Json

_HEADINGS = ("name", "arch", "size", "from", "here", "catalog", "description")


def _offer_arguments(parser: Parser) -> None:
    parser.flag("--search", default="", metavar="WORDS", help="only those in which all these words occur")
    json_flag(parser)


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


IMAGE_CATALOG = Verb(
    _offer_arguments,
    _offers(calls.list_image_offers),
    "banger image catalog\nbanger image catalog --search systemd",
)
KERNEL_CATALOG = Verb(_offer_arguments, _offers(calls.list_kernel_offers), "banger kernel catalog")
