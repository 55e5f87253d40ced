"""Things on the host in our name, and those among them that no record leads to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from banger.host.cgroup import group_prefix
from banger.host.delegation import delegation
from banger.host.paths import Paths
from banger.host.proc import ProcessRef, all_marked, working_directory
from banger.host.spawn import MARKER

Target = ProcessRef | Path


class Found(NamedTuple):
    """`kind` is process, directory or cgroup; a record that leads to it has `key`, a marker or a path, in its
    identity."""

    kind: str
    what: str
    key: str
    target: Target


def look(paths: Paths) -> list[Found]:
    """Whatever should have a record. Look before you read the records: what is made meanwhile has its record first.
    Blocking: at every process of the host."""
    return [*_processes(paths), *_directories(paths), *_groups(paths)]


def unknown(seen: Iterable[Found], identities: Iterable[Mapping[str, object]]) -> list[Found]:
    """Those that none of the records leads to."""
    known = {value for identity in identities for value in identity.values()}
    return [found for found in seen if found.key not in known]


def _processes(paths: Paths) -> Iterator[Found]:
    """VMMs that were started from this home, by where they are."""
    home = str(paths.state.resolve())
    for process, marker in all_marked(MARKER):
        where = working_directory(process).removesuffix(" (deleted)")
        if where == home or where.startswith(home + "/"):
            yield Found("process", f"{process.pid} ({marker})", marker, process)


def _directories(paths: Paths) -> Iterator[Found]:
    """Those that exist only as long as a record leads to them."""
    for root, pattern in (
        (paths.machines, "*"),
        (paths.sockets, "*"),
        (paths.earlier_sockets, "*"),
        (paths.snapshots, ".*"),
        (paths.templates, ".*"),
    ):
        for directory in sorted(root.glob(pattern)):
            yield Found("directory", str(directory), str(directory), directory)


def _groups(paths: Paths) -> Iterator[Found]:
    for base in set(delegation().bases.values()):
        for group in sorted(base.glob(f"{group_prefix(paths.state)}*")):
            yield Found("cgroup", str(group), str(group), group)
