"""The verbs that make and export images: pull, tag, register, export."""

from __future__ import annotations

import os
from collections.abc import Iterator

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, printable, write_pieces
from banger.cli.parser import Arguments, Parser, Verb, json_flag, size
from banger.client import calls
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_PATHS = ("oci:", "oci-archive:", "docker-archive:", "tar:", "rootfs:")


def absolute_ref(ref: str) -> str:
    """A reference with absolute paths: the daemon has another working directory."""
    transport = next((known for known in _PATHS if ref.startswith(known)), "")
    if not transport:
        return ref
    path = ref.removeprefix(transport)
    name, equals, rest = path.partition("=") if transport == "rootfs:" else ("", "", path)
    if equals and "/" not in name:
        return f"{transport}{name}={os.path.abspath(rest)}"
    return transport + (os.path.abspath(path) if path else "")


def _pull_arguments(parser: Parser) -> None:
    parser.flag(
        "--name",
        default="",
        metavar="NAME",
        help="name for the image (default: the name that its source gives)",
    )
    parser.flag(
        "--platform",
        default="",
        metavar="OS/ARCH",
        help="platform, if the image exists for several (default: this host's)",
    )
    parser.flag(
        "--size",
        type=size,
        default=0,
        metavar="SIZE",
        help="size of the disk (default: according to its contents)",
    )
    parser.flag(
        "--insecure", action="store_true", help="allow plain HTTP, and certificates that cannot be verified"
    )
    parser.flag("--force", action="store_true", help="pull the image again even if it is here")
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    json_flag(parser)
    parser.positional(
        "ref",
        metavar="REF",
        help="debian-bookworm, a registry reference, oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:DIR, "
        "tar:FILE, or - for a tar archive on stdin",
    )


def _pull(arguments: Arguments) -> int:
    from banger.cli.made import print_made
    from banger.cli.watching import finish_operation

    if arguments.ref == "-":
        return pull_stdin(arguments.name, arguments.size, arguments.json)
    daemon = Daemon()
    begun = daemon.record(
        calls.images_pull(
            absolute_ref(arguments.ref),
            force=arguments.force,
            platform=arguments.platform,
            insecure=arguments.insecure,
            size_bytes=arguments.size,
            name=arguments.name,
        )
    )
    ended = finish_operation(daemon, begun, arguments.quiet)
    print_made(ended, arguments.json)
    return 0


def pull_stdin(name: str, size_bytes: int, as_json: bool) -> int:
    """Make an image of the tar archive on stdin. Returns the exit code."""
    if not name:
        raise Error(
            "bad_name", "a tar archive on stdin has no name", "name the image: `banger import - NAME`"
        )
    return _print_image(Daemon().record(calls.images_import_tar(name, _read_stdin(), size_bytes)), as_json)


def _read_stdin() -> Iterator[bytes]:
    while piece := os.read(0, 64 * 1024):
        yield piece


def _tag_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name of the image")
    parser.positional("new", metavar="NEW", help="another name for the image; an existing name moves to it")


def _tag(arguments: Arguments) -> int:
    return _print_image(Daemon().record(calls.images_tag(arguments.name, arguments.new)), arguments.json)


def _register_arguments(parser: Parser) -> None:
    parser.flag(
        "--rootfs", required=True, metavar="FILE", help="file with an ext4 file system; banger copies it"
    )
    parser.flag("--name", required=True, metavar="NAME", help="name for the image")
    json_flag(parser)


def _register(arguments: Arguments) -> int:
    path = os.path.abspath(arguments.rootfs)
    return _print_image(Daemon().record(calls.images_register(path, arguments.name)), arguments.json)


def _print_image(image: Json, as_json: bool) -> int:
    print_json(image) if as_json else print(printable(str(image.get("name", ""))))
    return 0


def _export_arguments(parser: Parser) -> None:
    parser.positional("name", metavar="NAME", help="name of the image")
    parser.positional("file", metavar="FILE", help="file to write the disk to; - for stdout")


def _export(arguments: Arguments) -> int:
    with Daemon().open(calls.images_export(arguments.name)) as answer:
        write_pieces(arguments.file, answer.chunks(), sparse=True)
    return 0


PULL = Verb(
    _pull_arguments,
    _pull,
    "banger image pull debian:bookworm\nbanger image pull --name app docker-archive:app.tar",
)
TAG = Verb(_tag_arguments, _tag, "banger image tag debian:bookworm base")
REGISTER = Verb(_register_arguments, _register, "banger image register --rootfs disk.ext4 --name mine")
EXPORT = Verb(_export_arguments, _export, "banger image export debian:bookworm disk.ext4")
