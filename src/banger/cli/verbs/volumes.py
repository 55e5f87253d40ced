"""Named volumes: `volume create|list|show|delete|prune|export|import`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from banger.cli.asking import confirm
from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, print_fields, print_json, printable, write_pieces
from banger.cli.parser import Arguments, Parser, Verb, json_flag, size
from banger.cli.terminal import is_terminal
from banger.cli.verbs.listing import print_list, text_of
from banger.cli.verbs.run import label
from banger.cli.verbs.upkeep import size_of
from banger.client import calls
from banger.errors import Error, NoSuchVolume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO

    from banger.client.messages import Json

_HEADINGS = ("name", "size", "used", "machines", "age")
_READ_SIZE = 256 * 1024


def _name(parser: Parser) -> None:
    parser.positional("name", metavar="VOLUME", help="name of the volume")


def _create_arguments(parser: Parser) -> None:
    parser.flag(
        "--size",
        type=size,
        metavar="SIZE",
        help="size of its disk, such as 20GiB; it takes as much of the host as is written to it (default: 10GiB)",
    )
    parser.flag(
        "--from", dest="source", default="", metavar="VOLUME", help="begin with a copy of this volume"
    )
    parser.flag(
        "--label",
        action="append",
        type=label,
        metavar="NAME=VALUE",
        help="a label of the volume, for yourself and for programs (may be repeated)",
    )
    parser.flag("-d", "--driver", default="local", metavar="local", help="accepted as in Docker: local alone")
    parser.flag(
        "-o", "--opt", action="append", metavar="size=SIZE", help="as in Docker: size, and nothing else"
    )
    json_flag(parser)
    parser.positional(
        "name", metavar="VOLUME", nargs="?", default="", help="name of the volume (default: one by chance)"
    )


def _create(arguments: Arguments) -> int:
    if arguments.driver != "local":
        raise Error("unsupported", f"banger has no driver {arguments.driver!r} of volumes", "leave it out")
    given = _size_of_options(arguments.opt or []) if arguments.size is None else arguments.size
    labels = dict(arguments.label or [])
    volume = Daemon().record(calls.volumes_create(arguments.name, given, labels, arguments.source))
    print_json(volume) if arguments.json else print(printable(text_of(volume, "name")))
    return 0


def _size_of_options(options: list[str]) -> int:
    from banger.model.sizes import parse_size

    size_bytes = 0
    for option in options:
        name, _, value = option.partition("=")
        if name != "size":
            raise Error(
                "unsupported",
                f"a volume of banger has no option {name!r}",
                "a directory of this host is shared with -v ./DIRECTORY:TARGET",
            )
        size_bytes = parse_size(value)
    return size_bytes


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _list(arguments: Arguments) -> int:
    return print_list(arguments, Daemon().records(calls.volumes_list()), _HEADINGS, _row)


def _row(volume: Json) -> tuple[str, ...]:
    return (
        text_of(volume, "name"),
        size_of(volume, "size_bytes"),
        size_of(volume, "used_bytes"),
        " ".join(_describe_user(user) for user in _users(volume)) or "-",
        age(text_of(volume, "created")),
    )


def _users(volume: Json) -> list[Json]:
    users = volume.get("users")
    return [user for user in users if isinstance(user, dict)] if isinstance(users, list) else []


def _describe_user(user: Json) -> str:
    return text_of(user, "machine") + (" (ro)" if user.get("read_only") else "")


def _show_arguments(parser: Parser) -> None:
    json_flag(parser)
    _name(parser)


def _show(arguments: Arguments) -> int:
    volume = Daemon().record(calls.volumes_get(arguments.name))
    print_json(volume) if arguments.json else print_fields(volume)
    return 0


def _delete_arguments(parser: Parser) -> None:
    parser.flag("-f", "--force", action="store_true", help="do not fail for a volume that does not exist")
    json_flag(parser)
    parser.positional("names", metavar="VOLUME", nargs="+", help="names of volumes")


def _delete(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        try:
            daemon.call(calls.volumes_delete(name))
        except NoSuchVolume:
            if not arguments.force:
                raise
        print_json(name) if arguments.json else print(printable(name), flush=True)

    return for_each(arguments.names, one, arguments.json)


def _prune_arguments(parser: Parser) -> None:
    parser.flag("-a", "--all", action="store_true", help="accepted as in Docker: all volumes have names here")
    parser.flag("-f", "--force", action="store_true", help="do not ask")
    parser.flag("--dry-run", action="store_true", help="delete nothing; print what would be deleted")
    json_flag(parser)


def _prune(arguments: Arguments) -> int:
    """Without --force, show what would go, and ask: nothing else has a copy of it."""
    daemon = Daemon()
    if arguments.dry_run or not arguments.force:
        volumes = daemon.records(calls.volumes_prune(True))
        if arguments.dry_run and arguments.json:
            print_json(volumes)
            return 0
        names = " ".join(text_of(volume, "name") for volume in volumes)
        print(printable(f"volumes that would be deleted: {names or 'none'}"), flush=True)
        if arguments.dry_run or not volumes:
            return 0
        confirm("Delete them, with all that they have?", "nothing was deleted", "add --force, or --dry-run")
    volumes = daemon.records(calls.volumes_prune(False))
    if arguments.json:
        print_json(volumes)
    for volume in [] if arguments.json else volumes:
        print(printable(text_of(volume, "name")))
    return 0


def _export_arguments(parser: Parser) -> None:
    _name(parser)
    parser.positional("file", metavar="FILE", help="file to write the volume to; - for stdout")


def _export(arguments: Arguments) -> int:
    """Export a volume. If it goes to stdout, the size goes to stderr."""
    if arguments.file == "-" and is_terminal(1):
        raise Error("bad_request", "the file of a volume is not for a terminal", "name a file")
    with Daemon().open(calls.volumes_export(arguments.name)) as answer:
        size_bytes = write_pieces(arguments.file, answer.chunks())
    written = size_of({"size_bytes": size_bytes}, "size_bytes")
    print(printable(f"{arguments.name} {written}"), file=sys.stderr if arguments.file == "-" else sys.stdout)
    return 0


def _import_arguments(parser: Parser) -> None:
    parser.flag(
        "--name", default="", metavar="VOLUME", help="name of the volume (default: the name in the file)"
    )
    json_flag(parser)
    parser.positional(
        "file", metavar="FILE", help="file that `banger volume export` wrote, or an ext4 disk; - for stdin"
    )


def _import(arguments: Arguments) -> int:
    is_stdin = arguments.file == "-"
    try:
        with open(0 if is_stdin else arguments.file, "rb", buffering=0, closefd=not is_stdin) as file:
            volume = Daemon().record(calls.volumes_import_file(_pieces(file), arguments.name))
    except OSError as exc:
        what = "stdin" if is_stdin else arguments.file
        hint = "give a file that `banger volume export` wrote, or an ext4 disk"
        raise Error("file_not_found", f"cannot read {what}: {exc.strerror}", hint) from exc
    print_json(volume) if arguments.json else print(printable(text_of(volume, "name")))
    return 0


def _pieces(file: FileIO) -> Iterator[bytes]:
    while piece := file.read(_READ_SIZE):
        yield piece


CREATE = Verb(
    _create_arguments,
    _create,
    "banger volume create --size 20GiB data\nbanger volume create --from data data-before-upgrade",
)
LIST = Verb(_list_arguments, _list, "banger volume list")
SHOW = Verb(_show_arguments, _show, "banger volume show data")
DELETE = Verb(_delete_arguments, _delete, "banger volume delete data")
PRUNE = Verb(_prune_arguments, _prune, "banger volume prune --dry-run")
EXPORT = Verb(_export_arguments, _export, "banger volume export data data.volume")
IMPORT = Verb(
    _import_arguments,
    _import,
    "banger volume import data.volume\nbanger volume import --name data-2 data.volume",
)
