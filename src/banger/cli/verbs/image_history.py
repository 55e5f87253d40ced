"""`image history`: how an image was made. Sizes are those of layers as they are sent; all are one disk here."""

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
_NO_ID = "<missing>"


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
    lines = _lines(image, whole=arguments.no_trunc)
    if arguments.quiet:
        for line in lines:
            print(line["ID"])
    elif arguments.format:
        from banger.cli.formats import print_formatted

        print_formatted(lines, arguments.format)
    else:
        names = {"image": "ID", "created": "CreatedSince", "created by": "CreatedBy", "size": "Size"}
        rows = [[str(line[field]) for field in names.values()] for line in lines]
        print_table(list(names), rows, whole=arguments.no_trunc)
    return 0


def _lines(image: Json, whole: bool) -> list[Json]:
    """The newest step first, as docker does; the image's id stands there. An image whose steps are not known is one."""
    digest = str(image.get("digest", ""))
    known = image.get("steps")
    steps: list[Json] = known if isinstance(known, list) and known else [_one_step(image)]
    ids = [digest if whole else digest.removeprefix("sha256:")[:_SHORT]] + [_NO_ID] * (len(steps) - 1)
    return [_line(step, id, whole) for step, id in zip(reversed(steps), ids, strict=True)]


def _one_step(image: Json) -> Json:
    return {
        "created": image.get("created", ""),
        "created_by": image.get("source", ""),
        "comment": f"{image['layers']} layers in one disk" if image.get("layers") else "",
        "size_bytes": image.get("used_bytes"),
    }


def _line(step: Json, id: str, whole: bool) -> Json:
    created, size_bytes, by = (
        str(step.get("created", "")),
        step.get("size_bytes"),
        str(step.get("created_by", "")),
    )
    words = by if whole else " ".join(by.split())
    return {
        "ID": id,
        "CreatedAt": created,
        "CreatedSince": f"{age(created)} ago" if created else "",
        "CreatedBy": words,
        "Size": format_size(size_bytes if isinstance(size_bytes, int) else 0),
        "Comment": str(step.get("comment", "")),
    }


HISTORY = Verb(_arguments, _history, "banger image history debian-bookworm")
