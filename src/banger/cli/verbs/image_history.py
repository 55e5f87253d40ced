"""`image history`: where an image came from. A machine starts from one disk, so an image has one line."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import age, print_json, print_table
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client import calls
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_SHORT = 12


def _arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print only digests")
    parser.flag("--no-trunc", action="store_true", help="print whole digests")
    parser.flag("--format", metavar="FORMAT", help='"json", or a template such as "{{.CreatedBy}}"')
    json_flag(parser)
    parser.positional("name", metavar="IMAGE", help="name of the image")


def _history(arguments: Arguments) -> int:
    image = Daemon().record(calls.images_get(arguments.name))
    if arguments.json:
        print_json([image])
        return 0
    line = _line(image, whole=arguments.no_trunc)
    if arguments.quiet:
        print(line["ID"])
    elif arguments.format:
        from banger.cli.formats import print_formatted

        print_formatted([line], arguments.format)
    else:
        names = {"image": "ID", "created": "CreatedSince", "created by": "CreatedBy", "size": "Size"}
        print_table(list(names), [[str(line[field]) for field in names.values()]], whole=arguments.no_trunc)
    return 0


def _line(image: Json, whole: bool) -> Json:
    digest = str(image.get("digest", ""))
    created, size_bytes, layers = str(image.get("created", "")), image.get("used_bytes"), image.get("layers")
    return {
        "ID": digest if whole else digest.removeprefix("sha256:")[:_SHORT],
        "CreatedAt": created,
        "CreatedSince": f"{age(created)} ago",
        "CreatedBy": str(image.get("source", "")),
        "Size": format_size(size_bytes if isinstance(size_bytes, int) else 0),
        "Comment": f"{layers} layers in one disk" if layers else "",
    }


HISTORY = Verb(_arguments, _history, "banger image history debian-bookworm")
