"""Snapshots: listed, shown, deleted, exported and imported. `freezing` makes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, part_of, print_fields, print_json, printable, write_pieces
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.verbs.listing import memory_of, print_list, text_of
from banger.cli.verbs.upkeep import size_of
from banger.client import calls
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO

    from banger.client.messages import Json

_HEADINGS = ("machine", "tag", "age", "image", "memory", "size")
_READ_SIZE = 256 * 1024


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print machine and tag only")
    json_flag(parser)
    parser.positional(
        "machine", metavar="NAME", nargs="?", default="", help="list only snapshots of this machine"
    )


def _machine(parser: Parser) -> None:
    parser.positional("machine", metavar="NAME", help="name of the machine, even if it is deleted by now")


def _show_arguments(parser: Parser) -> None:
    json_flag(parser)
    _machine(parser)
    parser.positional("tag", metavar="TAG", help="tag of the snapshot")


def _delete_arguments(parser: Parser) -> None:
    json_flag(parser)
    _machine(parser)
    parser.positional("tags", metavar="TAG", nargs="+", help="tags of the snapshots")


def _list(arguments: Arguments) -> int:
    snapshots = Daemon().records(calls.snapshots_list(arguments.machine))
    return print_list(arguments, snapshots, _HEADINGS, _row, _name)


def _name(snapshot: Json) -> str:
    return f"{text_of(snapshot, 'machine')} {text_of(snapshot, 'tag')}"


def _row(snapshot: Json) -> tuple[str, ...]:
    return (
        text_of(snapshot, "machine"),
        text_of(snapshot, "tag"),
        age(text_of(snapshot, "created")),
        text_of(snapshot, "image"),
        memory_of(part_of(snapshot, "shape")),
        size_of(snapshot, "size_bytes"),
    )


def _show(arguments: Arguments) -> int:
    snapshot = Daemon().record(calls.snapshots_get(arguments.machine, arguments.tag))
    print_json(snapshot) if arguments.json else print_fields(snapshot)
    return 0


def _delete(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(tag: str) -> None:
        daemon.call(calls.snapshots_delete(arguments.machine, tag))
        name = f"{arguments.machine}:{tag}"
        print_json(name) if arguments.json else print(name, flush=True)

    return for_each(arguments.tags, one, arguments.json)


def _export_arguments(parser: Parser) -> None:
    _machine(parser)
    parser.positional("tag", metavar="TAG", help="tag of the snapshot")
    parser.positional("file", metavar="FILE", help="file to write the snapshot to; - for stdout")


def _export(arguments: Arguments) -> int:
    """Export a snapshot. If it goes to stdout, digest and size go to stderr."""
    daemon = Daemon()
    with daemon.open(calls.snapshots_export(arguments.machine, arguments.tag)) as answer:
        size_bytes = write_pieces(arguments.file, answer.chunks())
    snapshot = daemon.record(calls.snapshots_get(arguments.machine, arguments.tag))
    written = size_of({"size_bytes": size_bytes}, "size_bytes")
    line = printable(f"{text_of(snapshot, 'digest') or '-'} {written}")
    print(line, file=sys.stderr if arguments.file == "-" else sys.stdout)
    return 0


def _import_arguments(parser: Parser) -> None:
    parser.flag(
        "--name", default="", metavar="NAME", help="name of the machine (default: the name in the file)"
    )
    parser.flag(
        "--tag",
        dest="new",
        default="",
        metavar="TAG",
        help="tag of the snapshot (default: the tag in the file)",
    )
    json_flag(parser)
    parser.positional("file", metavar="FILE", help="file that `banger snapshot export` wrote; - for stdin")


def _import(arguments: Arguments) -> int:
    is_stdin = arguments.file == "-"
    try:
        with open(0 if is_stdin else arguments.file, "rb", buffering=0, closefd=not is_stdin) as file:
            call = calls.snapshots_import_file(_pieces(file), arguments.name, arguments.new)
            snapshot = Daemon().record(call)
    except OSError as exc:
        what = "stdin" if is_stdin else arguments.file
        hint = "give a file that `banger snapshot export` wrote"
        raise Error("file_not_found", f"cannot read {what}: {exc.strerror}", hint) from exc
    if arguments.json:
        print_json(snapshot)
    else:
        print(printable(f"{text_of(snapshot, 'machine')}:{text_of(snapshot, 'tag')}"))
    return 0


def _pieces(file: FileIO) -> Iterator[bytes]:
    while piece := file.read(_READ_SIZE):
        yield piece


LIST = Verb(_list_arguments, _list, "banger snapshot list\nbanger snapshot list dev")
SHOW = Verb(_show_arguments, _show, "banger snapshot show dev before-upgrade")
DELETE = Verb(_delete_arguments, _delete, "banger snapshot delete dev before-upgrade")
EXPORT = Verb(_export_arguments, _export, "banger snapshot export dev before-upgrade dev.snapshot")
IMPORT = Verb(
    _import_arguments,
    _import,
    "banger snapshot import dev.snapshot\nbanger snapshot import --name dev-2 --tag first dev.snapshot",
)
