"""Images and kernels: two nouns with the same verbs, whose differences are data."""

from __future__ import annotations

from collections.abc import Callable

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, print_fields, print_json
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.verbs.listing import filter_flags, has_format, print_list
from banger.client import calls
from banger.errors import NoSuchImage, NoSuchKernel
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Call
    from banger.client.messages import Json

Columns = tuple[tuple[str, str], ...]

_IMAGE_COLUMNS = (
    ("name", "name"),
    ("architecture", "arch"),
    ("size_bytes", "size"),
    ("used_bytes", "used"),
    ("created", "age"),
    ("source", "source"),
)
_KERNEL_COLUMNS = (
    ("name", "name"),
    ("release", "release"),
    ("architecture", "arch"),
    ("size_bytes", "size"),
    ("created", "age"),
    ("source", "source"),
)


def _image_list_arguments(parser: Parser) -> None:
    _list_arguments(parser)
    parser.flag(
        "-a", "--all", action="store_true", help="accepted as in Docker: all images are listed anyway"
    )
    filter_flags(parser, "reference or dangling")
    parser.positional("ref", metavar="NAME", nargs="?", help="list only images of this name, with any tag")


def _image_list(arguments: Arguments) -> int:
    from fnmatch import fnmatchcase

    from banger.cli.docker_view import listed_image, split_tag
    from banger.cli.formats import print_formatted, select

    def is_called(image: Json, wanted: str) -> bool:
        name = str(image.get("name", ""))
        return fnmatchcase(name, wanted) or fnmatchcase(split_tag(name)[0], wanted)

    def is_dangling(_: Json, wanted: str) -> bool:
        """Every image has a name."""
        return wanted in ("false", "0")

    images = Daemon().records(calls.images_list())
    images = select(images, arguments.filter, {"reference": is_called, "dangling": is_dangling})
    if arguments.ref is not None:
        images = [image for image in images if is_called(image, arguments.ref)]
    if has_format(arguments):
        print_formatted([listed_image(image) for image in images], arguments.format)
        return 0
    return _print(images, _IMAGE_COLUMNS, arguments, arguments.no_trunc)


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _show_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name, as `list` prints it")


def _pull_arguments(parser: Parser) -> None:
    parser.flag(
        "--platform", default="", metavar="OS/ARCH", help="platform of the kernel (default: this host's)"
    )
    parser.flag("--force", action="store_true", help="fetch the kernel again even if it is here")
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    json_flag(parser)
    parser.positional("ref", metavar="REF", help="name of the kernel in a catalog")


def _delete_arguments(parser: Parser) -> None:
    parser.flag(
        "-f", "--force", action="store_true", help="ignore names that do not exist; images in use stay"
    )
    json_flag(parser)
    parser.positional("names", metavar="NAME", nargs="+", help="names, as `list` prints them")


def _list(call: Callable[[], Call[object]], columns: Columns) -> Callable[[Arguments], int]:
    return lambda arguments: _print(Daemon().records(call()), columns, arguments)


def _print(records: list[Json], columns: Columns, arguments: Arguments, whole: bool = False) -> int:
    headings = [heading for _, heading in columns]
    return print_list(
        arguments,
        records,
        headings,
        lambda record: [_cell(record, field) for field, _ in columns],
        whole=whole,
    )


def _cell(record: Json, field: str) -> str:
    value = record.get(field, "")
    if field.endswith("_bytes") and isinstance(value, int):
        return format_size(value)
    return age(str(value)) if field == "created" else str(value)


def _show(call: Callable[[str], Call[object]]) -> Callable[[Arguments], int]:
    def action(arguments: Arguments) -> int:
        record = Daemon().record(call(arguments.name))
        print_json(record) if arguments.json else print_fields(record)
        return 0

    return action


def _pull(call: Callable[[str, bool, str], Call[object]]) -> Callable[[Arguments], int]:
    def action(arguments: Arguments) -> int:
        from banger.cli.made import print_made
        from banger.cli.watching import finish_operation

        daemon = Daemon()
        begun = daemon.record(call(arguments.ref, arguments.force, arguments.platform))
        ended = finish_operation(daemon, begun, arguments.quiet)
        print_made(ended, arguments.json)
        return 0

    return action


def _delete(call: Callable[[str], Call[object]]) -> Callable[[Arguments], int]:
    def action(arguments: Arguments) -> int:
        daemon = Daemon()

        def one(name: str) -> None:
            try:
                daemon.call(call(name))
            except (NoSuchImage, NoSuchKernel):
                if arguments.force:
                    return
                raise
            print_json({"name": name}) if arguments.json else print(name, flush=True)

        return for_each(arguments.names, one, arguments.json)

    return action


IMAGE_LIST = Verb(
    _image_list_arguments,
    _image_list,
    "banger image list\nbanger images --format '{{.Repository}}:{{.Tag}}'",
)
IMAGE_SHOW = Verb(_show_arguments, _show(calls.images_get), "banger image show debian-bookworm")
IMAGE_DELETE = Verb(_delete_arguments, _delete(calls.images_delete), "banger image delete debian-bookworm")
KERNEL_LIST = Verb(_list_arguments, _list(calls.kernels_list, _KERNEL_COLUMNS), "banger kernel list")
KERNEL_SHOW = Verb(_show_arguments, _show(calls.kernels_get), "banger kernel show debian-cloud")
KERNEL_PULL = Verb(_pull_arguments, _pull(calls.kernels_pull), "banger kernel pull debian-cloud")
KERNEL_DELETE = Verb(_delete_arguments, _delete(calls.kernels_delete), "banger kernel delete debian-cloud")
