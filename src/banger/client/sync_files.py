# Written by `python -m banger.api.generate` from aio_files.py; not by hand.
# fmt: off
"""The files of a machine (blocking)."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Literal, overload

from banger.client import calls, guest_files, results
from banger.client.sync_methods import Carrier, consume, entered
from banger.client.sync_process import execute
from banger.client.sync_watch import Watch, watch
from banger.client.trees import Complaints, pack_tree, unpack_tree
from banger.errors import CommandMissing, Error, NoSuchFile

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from banger.client.guest_files import FileEntry
    from banger.model.report import FileStat

# How often a listing is begun again because the directory changed meanwhile.
_TRIES = 5


class Files:
    """Files of one machine. Paths are those of the guest; relative ones begin at its root."""

    def __init__(self, client: Carrier, machine_id: str) -> None:
        self._client = client
        self._machine_id = machine_id

    @overload
    def read(
        self, path: str, *, text: Literal[True] = True, limit_bytes: int = guest_files.FILE_LIMIT_BYTES
    ) -> str: ...

    @overload
    def read(
        self, path: str, *, text: Literal[False], limit_bytes: int = guest_files.FILE_LIMIT_BYTES
    ) -> bytes: ...

    def read(
        self, path: str, *, text: bool = True, limit_bytes: int = guest_files.FILE_LIMIT_BYTES
    ) -> str | bytes:
        """The contents of a file, as text in UTF-8, or as bytes. Raises `file_not_found`, `bad_request` for text that
        is not UTF-8, and `payload_too_large` for a file of more than `limit_bytes`."""
        call = calls.machines_get_files(self._machine_id, guest_files.absolute(path), follow=True)
        answer = self._client.open(call)
        data = consume(answer, lambda each: guest_files.read_file(each, limit_bytes))
        if not text:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError as exc:
            raise Error("bad_request", f"{path} is not text in UTF-8", "read it with text=False") from exc

    def write(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Write a whole file, which belongs to root then. Directories above it are made."""
        contents = results.as_bytes(data)
        directory, name = self._place(path)
        self._put(directory, guest_files.pack_file(name, contents, mode))

    def make_dir(self, path: str) -> None:
        """Make a directory and those above it; it may exist."""
        if not self.exists(path):
            directory, name = self._place(path)
            self._put(directory, guest_files.pack_directory(name))

    def stat(self, path: str) -> FileStat:
        """Type, mode, owner, size and time. Raises `file_not_found`."""
        return self._client.perform(
            calls.machines_stat_file(self._machine_id, guest_files.absolute(path))
        )

    def exists(self, path: str) -> bool:
        try:
            self.stat(path)
        except NoSuchFile:
            return False
        return True

    def list(self, path: str = "/") -> builtins.list[FileEntry]:
        """What is in a directory, sorted. The image needs `find`, `sh` and `stat`."""
        return self._list(path, deep=False)

    def walk(self, path: str = "/") -> builtins.list[FileEntry]:
        """All that is below a directory, sorted by path; links are not followed."""
        return self._list(path, deep=True)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, or with `recursive` a tree. Raises `file_not_found`."""
        self.stat(path)
        flags = "-rf" if recursive else "-f"
        self._run(["rm", flags, "--", guest_files.absolute(path)])

    def move(self, path: str, new: str) -> None:
        """Give a file or tree another path."""
        self._run(["mv", "-T", "--", guest_files.absolute(path), guest_files.absolute(new)])

    def upload(self, source: str | os.PathLike[str], path: str) -> Complaints:
        """Copy a file or tree of this host to `path`; a tree joins a directory that is there. Returns what was left
        out."""
        local = guest_files.find_source(source)
        complaints = Complaints()
        directory, name = self._place(path)
        self._put(directory, pack_tree(local, name, complaints=complaints))
        return complaints

    def download(self, path: str, target: str | os.PathLike[str]) -> Complaints:
        """Copy a file or tree of the machine to `target` on this host; a tree joins a directory that is there. Nothing
        is written outside `target`, whatever the machine sends. Returns what was left out."""
        directory, name = guest_files.prepare_target(target)
        complaints = Complaints()
        call = calls.machines_get_files(self._machine_id, guest_files.absolute(path), follow=False)

        def unpack(pieces: Iterable[bytes]) -> None:
            unpack_tree(pieces, lambda _: (directory, name), complaints)

        try:
            consume(self._client.open(call), unpack)
        except OSError as exc:
            raise Error("bad_request", f"cannot write {target}: {exc.strerror}") from exc
        return complaints

    @entered
    def watch(self, path: str, *, recursive: bool = False) -> Watch:
        """Tell what changes in a directory from now on; with `recursive` also in all directories below it on the same
        file system, at most 16384. Iterate over it. Raises `file_not_found`."""
        return watch(self._client, self._machine_id, guest_files.absolute(path), recursive)

    def _place(self, path: str) -> tuple[str, str]:
        """The nearest directory above a path that exists, and the path from there."""
        whole = guest_files.absolute(path)
        for directory, name in guest_files.above(whole):
            if directory == "/" or self.exists(directory):
                return directory, name
        raise Error("bad_request", f"{path!r} does not name a file")

    def _put(self, directory: str, pieces: Iterable[bytes]) -> None:
        self._client.perform(calls.machines_put_files(self._machine_id, directory, pieces))

    def _list(self, path: str, deep: bool) -> builtins.list[FileEntry]:
        whole = guest_files.absolute(path)
        if (self.stat(whole)).type != "directory":
            raise Error("bad_request", f"{path} is not a directory")
        for _ in range(_TRIES):
            found = guest_files.parse_listing(
                self._run(guest_files.listing_command(whole, deep), False)
            )
            if found is not None:
                return found
        raise Error("bad_state", f"{path} changes all the time", "list it again when nothing writes there")

    def _run(self, argv: builtins.list[str], check: bool = True) -> bytes:
        try:
            command = results.plan_command(argv, user="0")
            done = execute(self._client, self._machine_id, command, guest_files.LISTING_LIMIT_BYTES)
        except CommandMissing as exc:
            hint = "an image with a shell and coreutils or busybox has it"
            raise Error("unsupported", f"the machine has no {argv[0]}", hint) from exc
        return (done.check() if check else done).stdout
