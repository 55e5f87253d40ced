"""`image load` and `image import`: images of archives, as other tools write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from banger.cli.daemon import Daemon
from banger.cli.failure import report
from banger.cli.output import print_json, printable
from banger.cli.parser import Arguments, Parser, Verb
from banger.client import calls
from banger.errors import Error, ImageInvalid, NoSuchFile, NoSuchImage, NoSuchPlatform

_PIECE = 256 * 1024
_IMAGES_MAX = 1000
# Errors of an archive without the index that `docker save` writes.
_OTHER_FORM = (ImageInvalid, NoSuchFile, NoSuchImage)


def _load_arguments(parser: Parser) -> None:
    parser.flag("-i", "--input", metavar="FILE", help="file to read (default: stdin)")
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    parser.flag(
        "--name", default="", metavar="NAME", help="name for the image (default: its name in the archive)"
    )


def _load(arguments: Arguments) -> int:
    """The daemon reads the archive, and says which form it has: the form of `docker save` may have several images."""
    with _file(arguments.input) as path:
        try:
            _pull(f"docker-archive:{path}:@0", arguments)
        except _OTHER_FORM:
            _pull(f"oci-archive:{path}", arguments)
            return 0
        code = 0
        for number in range(1, _IMAGES_MAX):
            try:
                _pull(f"docker-archive:{path}:@{number}", arguments)
            except NoSuchPlatform as exc:  # the images after it may be for this host
                code = report(exc, arguments.json)
            except NoSuchImage:
                break
    return code


def _pull(ref: str, arguments: Arguments) -> None:
    from banger.cli.made import made_names
    from banger.cli.watching import finish_operation

    daemon = Daemon()
    begun = daemon.record(calls.images_pull(ref, force=True, name=arguments.name))
    ended = finish_operation(daemon, begun, arguments.quiet)
    if arguments.json:
        print_json(ended)
    else:
        for name in made_names(ended):
            print(f"Loaded image: {printable(name)}", flush=True)


@contextmanager
def _file(path: str | None) -> Iterator[str]:
    """The absolute path of the archive; of a temporary file with what stdin has."""
    if path not in (None, "-"):
        assert path is not None
        if not os.path.isfile(path):
            hint = "give a file that `docker save`, `podman save` or `skopeo copy` wrote"
            raise Error("file_not_found", f"there is no file {path}", hint)
        yield os.path.abspath(path)
        return
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(prefix="banger-load-") as spool:
        while piece := os.read(0, _PIECE):
            spool.write(piece)
        spool.flush()
        yield spool.name


def _import_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    parser.positional("file", metavar="FILE", help="tar archive of one file tree; - for stdin")
    parser.positional("ref", metavar="NAME", nargs="?", default="", help="name for the image")


def _import(arguments: Arguments) -> int:
    from banger.cli.made import print_made
    from banger.cli.verbs.images import pull_stdin
    from banger.cli.watching import finish_operation

    if "://" in arguments.file:
        raise Error(
            "bad_request",
            "banger imports files, not URLs",
            f"curl -L {arguments.file} | banger import - NAME",
        )
    if arguments.file == "-":
        return pull_stdin(arguments.ref, 0, arguments.json)
    daemon = Daemon()
    ref = f"tar:{os.path.abspath(arguments.file)}"
    begun = daemon.record(calls.images_pull(ref, force=True, name=arguments.ref))
    print_made(finish_operation(daemon, begun, arguments.quiet), arguments.json)
    return 0


LOAD = Verb(_load_arguments, _load, "banger load -i app.tar")
IMPORT = Verb(_import_arguments, _import, "banger import tree.tar mine:1")
