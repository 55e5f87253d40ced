"""What goes into the machine: the Dockerfile, and the files of the context that .dockerignore does not keep here.

Links are sent as links, and never followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from banger.builds import dockerfile, ignore
from banger.builds.ignore import Ignored
from banger.client.trees import Complaints, pack_tree
from banger.errors import Error
from banger.model.sizes import GIB, format_size
from banger.tar.entry import Entry
from banger.tar.kind import Kind
from banger.tar.writer import END, padding, write_headers

MAX_BYTES = 8 * GIB
_NAMES = ("Dockerfile", "Containerfile")
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class Context:
    """`directory` is its real path, empty for a Dockerfile alone. `name` is the Dockerfile, as the user knows it."""

    directory: str
    name: str
    text: str
    ignored: Ignored | None = None


def read_context(place: str, file: str, stdin: BinaryIO) -> Context:
    """The context at `place`, "-" for a Dockerfile on stdin alone. `file` is the Dockerfile, "-" for stdin; empty means
    the one in the context. Raises `bad_request`, `file_not_found`."""
    if "://" in place or place.startswith("git@"):
        raise Error("unsupported", f"{place} is not a directory", "fetch it first, and name the directory")
    if "-" in (place, file):
        if place == "-" and file:
            raise Error(
                "bad_request", "the Dockerfile comes from stdin: --file means nothing", "leave it out"
            )
        text = dockerfile.decode(stdin.read(dockerfile.MAX_BYTES + 1), "the Dockerfile on stdin")
        if place == "-":
            return Context("", "stdin", text)
        directory = _directory(place)
        return Context(directory, "stdin", text, _read_ignored(directory, ""))
    directory = _directory(place)
    path = _find(directory, file)
    text = dockerfile.decode(_read(path, dockerfile.MAX_BYTES), path)
    return Context(directory, os.path.relpath(path, directory), text, _read_ignored(directory, path))


def pack_context(context: Context, complaints: Complaints) -> Iterator[bytes]:
    """A tar stream with the files Dockerfile and context/. Raises `payload_too_large`, OSError."""
    data = context.text.encode()
    head = write_headers(Entry(b"Dockerfile", Kind.FILE, (0o644, 0, 0), 0, len(data))) + data
    tree: Iterator[bytes] = iter((END,))
    if context.directory:
        choose = context.ignored.choose if context.ignored is not None else None
        tree = pack_tree(context.directory, "context", complaints=complaints, choose=choose)
    sent = 0
    for piece in chain((head + padding(len(data)),), tree):
        sent += len(piece)
        if sent > MAX_BYTES:
            raise Error(
                "payload_too_large",
                f"the context {context.directory} has more than {format_size(MAX_BYTES)}",
                "name what the build does not need in .dockerignore, or choose a smaller directory",
            )
        yield piece


def _directory(place: str) -> str:
    if not os.path.isdir(place):
        raise Error("file_not_found", f"{place} is not a directory on this host", "banger build DIRECTORY")
    return os.path.realpath(place)


def _find(directory: str, file: str) -> str:
    """A Dockerfile that the user names is found from here, or else from the context."""
    places = [file, os.path.join(directory, file)] if file else [os.path.join(directory, n) for n in _NAMES]
    for path in places:
        if os.path.exists(path):
            return os.path.abspath(path)
    what = f"no Dockerfile {file}" if file else f"no Dockerfile in {directory}"
    raise Error("file_not_found", f"there is {what}", "name the file: banger build -f FILE DIRECTORY")


def _read_ignored(directory: str, path: str) -> Ignored | None:
    """The patterns that belong to this Dockerfile, or else those of the context."""
    for candidate in (f"{path}.dockerignore" if path else "", os.path.join(directory, ".dockerignore")):
        if candidate and os.path.exists(candidate):
            data = _read(candidate, ignore.MAX_BYTES)
            return Ignored(data.decode("utf-8", "surrogateescape"), os.path.basename(candidate))
    return None


def _read(path: str, limit_bytes: int) -> bytes:
    """A whole file of a directory that a stranger may have made: a FIFO must not block, nor a device flood."""
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, _READ)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Error("bad_request", f"{path} is not a regular file")
            data = file.read(limit_bytes + 1)
    except OSError as exc:
        raise Error("file_not_found", f"cannot read {path}: {exc.strerror}") from exc
    if len(data) > limit_bytes:
        raise Error("bad_request", f"{path} has more than {limit_bytes} bytes")
    return data
