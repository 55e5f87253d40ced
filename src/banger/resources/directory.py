"""Directories that exist only while a record leads to them. Identity: `path`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from banger.host.fs import remove_tree, remove_whole
from banger.host.paths import Paths
from banger.host.thread import in_thread
from banger.resources.kind import AGAIN, Found, Kind, Target
from banger.store.resources import Identity

# A root directory, and the pattern of the names in it that need a record.
Places = Callable[[Paths], list[tuple[Path, str]]]


class Directory(Kind):
    def __init__(self, name: str, *, is_runtime: bool, places: Places) -> None:
        self.name = name
        self.is_runtime = is_runtime
        self._places = places

    async def release(self, identity: Identity) -> None:
        await in_thread(remove_whole, Path(str(identity["path"])), AGAIN)

    def describe(self, identity: Identity) -> str:
        return f"directory {identity.get('path', '')}"

    def find(self, paths: Paths) -> Iterator[Found]:
        for root, pattern in self._places(paths):
            for directory in sorted(root.glob(pattern)):
                yield Found(self, "directory", str(directory), str(directory), directory)

    async def remove(self, target: Target) -> bool:
        assert isinstance(target, Path)
        await in_thread(remove_tree, target)  # the OSError says what stays
        return True


def places_of_files(paths: Paths) -> list[tuple[Path, str]]:
    """All directories of machines; of snapshots, templates and volumes only directories in the making, or set aside to
    be removed."""
    return [
        (paths.machines, "*"),
        (paths.snapshots, ".*"),
        (paths.templates, ".*"),
        (paths.volumes, ".*"),
    ]


def places_of_sockets(paths: Paths) -> list[tuple[Path, str]]:
    return [(paths.sockets, "*"), (paths.earlier_sockets, "*")]
