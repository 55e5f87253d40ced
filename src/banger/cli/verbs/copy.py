"""`vm cp`: files copied between this host and a machine, or between machines, with the rules of `docker cp`."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from banger.cli.daemon import Daemon
from banger.cli.failure import warn
from banger.cli.parser import Arguments, Parser, Verb
from banger.cli.terminal import is_terminal
from banger.client import calls
from banger.errors import Error, NoSuchFile
from banger.model.names import check_name

if TYPE_CHECKING:
    from banger.client.messages import Json
    from banger.client.trees import Complaints


def _copy_arguments(parser: Parser) -> None:
    parser.flag(
        "-a",
        "--archive",
        action="store_true",
        help="keep owners in a copy into a machine (default: root owns all of it)",
    )
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    parser.flag(
        "-L", "--follow-link", action="store_true", help="copy what SRC links to, not the link itself"
    )
    parser.positional("source", metavar="SRC", help="PATH, NAME:PATH, or - for a tar stream on stdin")
    parser.positional("target", metavar="DST", help="PATH, NAME:PATH, or - for a tar stream on stdout")


def split_place(text: str) -> tuple[str, str]:
    """Machine and path of "dev:/etc", or "" and the local path. `./a:b` is always local."""
    name, colon, path = text.partition(":")
    if not colon:
        return "", text
    try:
        check_name(name)
    except Error:
        return "", text
    return name, posixpath.join("/", path)


def plan_copy(
    source_name: str, is_directory: bool, contents_only: bool, target: str, target_kind: str
) -> tuple[str, str]:
    """The directory to write to, and the name of the copy in it; "" merges the contents into the directory.

    `target_kind` is "directory", "file", or "" if the target does not exist.
    """
    above, below = posixpath.split(target.rstrip("/"))
    if target_kind == "directory":
        return target, "" if is_directory and contents_only else source_name
    if is_directory and target_kind:
        raise Error("bad_request", f"cannot copy a directory over the file {target}")
    if target.endswith("/") and not is_directory:
        raise Error("bad_request", f"the directory {target} does not exist")
    return above or ("/" if target.startswith("/") else "."), below


def _copy(arguments: Arguments) -> int:
    try:
        return _copy_one_way(arguments)
    except BrokenPipeError:
        raise
    except OSError as exc:
        code = "file_not_found" if exc.errno in (errno.ENOENT, errno.ENOTDIR) else "bad_request"
        what = f"{exc.filename}: " if exc.filename else ""
        raise Error(code, f"cannot copy: {what}{exc.strerror}") from exc


def _copy_one_way(arguments: Arguments) -> int:
    source_machine, source = split_place(arguments.source)
    target_machine, target = split_place(arguments.target)
    if not source_machine and not target_machine:
        raise Error(
            "bad_request",
            "at least one of SRC and DST must be in a machine",
            "write the path in the machine as NAME:/path",
        )
    if not source_machine:
        return _copy_in(Daemon(), arguments, source, target_machine, target)
    if not target_machine:
        return _copy_out(Daemon(), arguments, source_machine, source, target)
    return _copy_between(Daemon(), arguments, source_machine, source, target_machine, target)


def _copy_in(daemon: Daemon, arguments: Arguments, source: str, machine: str, target: str) -> int:
    if source == "-":
        daemon.call(calls.machines_put_files(machine, target, _read_stdin()))
        return 0
    real = os.path.realpath(source) if arguments.follow_link else source
    if not os.path.lexists(real):
        raise Error("file_not_found", f"{source} does not exist on this host")
    is_directory = os.path.isdir(real) and (not os.path.islink(real) or source.endswith("/"))
    directory, name = plan_copy(
        _own_name(source),
        is_directory,
        source.endswith("/."),
        target,
        _kind_in_machine(daemon, machine, target),
    )
    from banger.client.trees import Complaints, pack_tree

    complaints = Complaints()
    tree = pack_tree(
        os.path.realpath(real) if is_directory else real, name or ".", arguments.archive, complaints
    )
    size = 0 if is_directory else os.lstat(real).st_size
    daemon.call(calls.machines_put_files(machine, directory, _shown(tree, arguments.quiet, source, size)))
    return _complain(complaints)


def _shown(pieces: Iterable[bytes], quiet: bool, what: str, size_bytes: int) -> Iterator[bytes]:
    """The pieces, and progress while they pass. `size_bytes`: of a single file, 0 for a tree."""
    from banger.cli.progress import Progress, Step

    progress, done = Progress(quiet), 0
    try:
        for piece in pieces:
            done += len(piece)
            total = max(size_bytes, done) if size_bytes else 0
            progress.show(Step("copying", what, done, total, "bytes"))
            yield piece
    finally:
        progress.close()


def _own_name(path: str) -> str:
    """The last component of a path, also of "." and "a/.."."""
    name = os.path.basename(path.rstrip("/"))
    return name if name not in ("", ".", "..") else os.path.basename(os.path.abspath(path)) or "root"


def _read_stdin() -> Iterator[bytes]:
    while piece := os.read(0, 64 * 1024):
        yield piece


def _kind_in_machine(daemon: Daemon, machine: str, path: str) -> str:
    """ "directory", "file", or "" if there is nothing; for a link, the kind of its target."""
    found = _stat(daemon, machine, path)
    return "" if not found else "directory" if found.get("type") == "directory" else "file"


def _stat(daemon: Daemon, machine: str, path: str) -> Json:
    """What is at the path; empty if there is nothing."""
    try:
        return daemon.record(calls.machines_stat_file(machine, path))
    except NoSuchFile:
        return {}


def _size_in_machine(daemon: Daemon, machine: str, path: str) -> int:
    """The size of a file in bytes; 0 of all else. Raises `file_not_found`."""
    found = _stat(daemon, machine, path)
    if not found:
        raise Error("file_not_found", f"{path} does not exist in {machine}")
    size = found.get("size_bytes")
    return size if isinstance(size, int) and found.get("type") == "file" else 0


def _copy_out(daemon: Daemon, arguments: Arguments, machine: str, source: str, target: str) -> int:
    size = _size_in_machine(daemon, machine, source)
    with daemon.open(calls.machines_get_files(machine, source, arguments.follow_link)) as answer:
        if target == "-":
            for piece in answer.chunks():
                _write_all(piece)
            return 0
        from banger.client.trees import Complaints, unpack_tree

        complaints = Complaints()
        pieces = _shown(answer.chunks(), arguments.quiet, source, size)
        unpack_tree(pieces, lambda is_dir: _plan_here(source, is_dir, target), complaints)
    return _complain(complaints)


def _copy_between(
    daemon: Daemon,
    arguments: Arguments,
    source_machine: str,
    source: str,
    target_machine: str,
    target: str,
) -> int:
    """No file on this host, and of the stream only a piece at a time."""
    from banger.client.trees import Complaints, pass_tree

    size = _size_in_machine(daemon, source_machine, source)
    kind = _kind_in_machine(daemon, target_machine, target)
    complaints = Complaints()

    def plan(is_directory: bool) -> tuple[str, str]:
        directory, name = _plan_from_machine(source, is_directory, target, kind)
        if source_machine == target_machine:
            _refuse_into_itself(source, posixpath.join(directory, name))
        return directory, name

    with daemon.open(calls.machines_get_files(source_machine, source, arguments.follow_link)) as answer:
        pieces = _shown(answer.chunks(), arguments.quiet, source, size)
        directory, tree = pass_tree(pieces, plan, arguments.archive, complaints)
        daemon.call(calls.machines_put_files(target_machine, directory, tree))
    return _complain(complaints)


def _refuse_into_itself(source: str, target: str) -> None:
    """Such a copy would copy what it has just written, and so on."""
    above = posixpath.normpath(source)
    if posixpath.commonpath((above, posixpath.normpath(target))) == above:
        raise Error("bad_request", f"cannot copy {source} into itself", "choose a DST outside SRC")


def _plan_from_machine(source: str, is_directory: bool, target: str, target_kind: str) -> tuple[str, str]:
    name = posixpath.basename(posixpath.normpath(source)) or "root"
    if source.endswith(("/", "/.")) and not is_directory:
        raise Error("agent_error", f"the machine did not send the directory {source}, but something else")
    return plan_copy(name, is_directory, source.endswith("/."), target, target_kind)


def _plan_here(source: str, is_directory: bool, target: str) -> tuple[str, str]:
    directory, name = _plan_from_machine(source, is_directory, target, _kind_here(target))
    # A final slash: then a link before it is followed.
    return (posixpath.join(directory, "") if directory != target else directory), name


def _complain(complaints: Complaints) -> int:
    """Report what was left out. Returns the exit code."""
    for sentence in complaints.first:
        warn(sentence)
    if complaints.count > len(complaints.first):
        warn(f"and {complaints.count - len(complaints.first)} more")
    return 1 if complaints.count else 0


def _write_all(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def _kind_here(path: str) -> str:
    """As `_kind_in_machine`, on this host. Raises `bad_request` for a link to a directory: the user or an earlier copy
    may have made it."""
    if os.path.islink(path) and os.path.isdir(path):
        raise Error(
            "bad_request",
            f"{path} is a link to a directory, which a copy out of a machine does not follow",
            f"to copy to the directory that the link points to, write {path}/",
        )
    if os.path.isdir(path):
        return "directory"
    return "file" if os.path.lexists(path) else ""


def _export_arguments(parser: Parser) -> None:
    parser.flag("-o", "--output", metavar="FILE", help="file to write (default: stdout)")
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _export(arguments: Arguments) -> int:
    """All files of a machine. What the kernel makes up (/proc, /sys) is left out by the agent's walk."""
    if arguments.output is None and is_terminal(1):
        raise Error("bad_request", "a tar archive is not for a terminal", "name a file with -o FILE")
    with Daemon().open(calls.machines_get_files(arguments.name, "/", False)) as answer:
        if arguments.output is None:
            for piece in answer.chunks():
                _write_all(piece)
        else:
            from banger.client.whole_file import write_whole

            write_whole(arguments.output, answer.chunks())
    return 0


EXPORT = Verb(_export_arguments, _export, "banger export -o dev.tar dev")
COPY = Verb(
    _copy_arguments,
    _copy,
    "banger vm cp ./app dev:/srv/\nbanger vm cp dev:/var/log/. ./logs\nbanger vm cp dev:/srv/app test:/srv/\n"
    "tar c . | banger vm cp - dev:/srv",
)
