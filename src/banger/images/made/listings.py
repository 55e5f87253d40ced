"""What changed between two states of a file system, from the lists that the agent's `tree` makes of them.

The lists come from guests: each is read within the limits of an image, and what is malformed is refused. A file is the
same if its facts are the same, the time of its last change (ctime) among them, which no program of a guest can set.
What `differences` leaves out is left out here. Blocking.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from banger.errors import Error
from banger.images.disks.merge.limits import Budget, Limits
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline
from banger.images.made.differences import is_left_out
from banger.model.difference import FileChange
from banger.model.octets import text_of
from banger.model.sizes import MIB
from banger.tar.failure import TarFailure

_CHUNK_BYTES = MIB
_LONGEST = 64 * 1024  # of one text
_FACTS = re.compile(
    rb"d(\x20[0-9]{1,10}){3}|[flcbps](\x20[0-9]{1,10}){3}\x20[0-9]+:[0-9]+(\x20-?[0-9.]{1,30}){3}"
)
Kind = Literal["added", "changed", "deleted"]
# Facts and target by path: what must be equal for two entries to be the same.
Marks = dict[bytes, bytes]


def compare(base: ByteRange, tree: ByteRange, line: Lifeline) -> list[FileChange]:
    """What changed from `base` to `tree`, sorted by the bytes of the paths. Raises `agent_error`, `Cut`."""
    try:
        found = _find(dict(_entries(base, line)), _entries(tree, line))
    except TarFailure as exc:
        raise _malformed(exc.what) from exc
    return [FileChange(kind=kind, path="/" + text_of(path)) for path, kind in sorted(found.items())]


def _find(before: Marks, now: Iterator[tuple[bytes, bytes]]) -> dict[bytes, Kind]:
    """Empties `before`."""
    found: dict[bytes, Kind] = {}
    directories = {b""}
    for path, mark in now:
        known = before.pop(path, None)
        if mark.startswith(b"d"):
            directories.add(path)
        if known is None:
            found[path] = "added"
        elif known != mark:
            found[path] = "changed"
    for path in before:
        if path.rpartition(b"/")[0] in directories:
            found[path] = "deleted"
    for path in [*found]:
        while (path := path.rpartition(b"/")[0]) and path not in found:
            found[path] = "changed"
    return found


def _entries(tree: ByteRange, line: Lifeline) -> Iterator[tuple[bytes, bytes]]:
    """Path and mark of each entry that counts."""
    budget = Budget(Limits())
    texts = _texts(tree, line)
    for facts in texts:
        path, target = next(texts, None), next(texts, None)
        if path is None or target is None:
            raise _malformed("it ends within an entry")
        if not _FACTS.fullmatch(facts) or {b"", b".", b".."} & {*path.split(b"/")}:
            raise _malformed("it has an entry that no file system has")
        budget.spend_entry(len(facts) + len(path) + len(target))
        if not is_left_out(path):
            yield path, facts + b" " + target


def _texts(tree: ByteRange, line: Lifeline) -> Iterator[bytes]:
    tree.seek(0)
    rest = b""
    while chunk := tree.read(_CHUNK_BYTES):
        line.check()
        *ended, rest = (rest + chunk).split(b"\0")
        yield from ended
        if len(rest) > _LONGEST:
            raise _malformed("it has a name that is too long")
    if rest:
        raise _malformed("it ends within an entry")


def _malformed(what: str) -> Error:
    return Error(
        "agent_error",
        f"the list of the machine's files cannot be used: {what}",
        "programs of the machine may have changed its agent; restart the machine",
    )
