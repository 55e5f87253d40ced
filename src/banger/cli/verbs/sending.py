"""The verbs by which images leave this host as layers: push, save."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, printable, write_pieces
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.terminal import is_terminal
from banger.client import calls
from banger.errors import Error

_DIRECTORIES = ("oci-dir", "docker-dir")
_FORMATS = ("docker-archive", "oci-archive", *_DIRECTORIES)


def _push_arguments(parser: Parser) -> None:
    parser.flag(
        "--insecure", action="store_true", help="allow plain HTTP, and certificates that cannot be verified"
    )
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name of the image")
    parser.positional(
        "ref", nargs="?", default="", metavar="REF", help="reference to push to (default: the image's name)"
    )


def _push(arguments: Arguments) -> int:
    from banger.cli.watching import finish_operation

    daemon = Daemon()
    begun = daemon.record(calls.images_push(arguments.name, ref=arguments.ref, insecure=arguments.insecure))
    pushed = finish_operation(daemon, begun, arguments.quiet)
    result = pushed.get("result", {})
    if arguments.json:
        print_json(result)
    elif isinstance(result, dict):
        print(printable(f"{result.get('name', '')}@{result.get('digest', '')}"))
    return 0


def _save_arguments(parser: Parser) -> None:
    parser.flag("-o", "--output", metavar="FILE", help="file to write (default: stdout)")
    parser.flag(
        "--format",
        choices=_FORMATS,
        metavar="FORM",
        help="docker-archive or oci-archive: accepted, and each archive has both forms",
    )
    parser.flag(
        "-m",
        "--multi-image-archive",
        action="store_true",
        help="accepted: an archive may always have several images",
    )
    parser.flag("-q", "--quiet", action="store_true", help="accepted: nothing but the archive is written")
    parser.positional(
        "name", nargs="+", metavar="NAME", help="name of the image; several go into one archive"
    )


def _save(arguments: Arguments) -> int:
    from banger.client.whole_file import write_whole

    if arguments.format in _DIRECTORIES:
        raise Error(
            "unsupported",
            f"banger writes archives, not the form {arguments.format}",
            "an OCI layout: mkdir DIR && banger save NAME | tar -x -C DIR",
        )
    if arguments.output is None and is_terminal(1):
        raise Error("bad_request", "an archive is not for a terminal", "name a file with -o FILE")
    name, *also = arguments.name
    with Daemon().open(calls.images_save(name, also=also)) as answer:
        if arguments.output is not None:
            write_whole(arguments.output, answer.chunks())
            return 0
        write_pieces("-", answer.chunks())
    return 0


PUSH = Verb(_push_arguments, _push, "banger push mine registry.lan:5000/team/mine:1")
SAVE = Verb(
    _save_arguments, _save, "banger save -o mine.tar mine\nbanger save -o all.tar mine mine:2 debian-bookworm"
)
