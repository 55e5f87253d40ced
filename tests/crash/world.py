"""Looking at the host: processes, files, sockets and records of one home, and who accounts for each of them.

Nothing here asks the daemon, which may be wrong.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from banger.errors import Error
from banger.host.proc import TICKS_PER_S
from banger.machines.copies.snapshots import SnapshotMeta
from banger.model.machine import Machine
from banger.resources.kinds import FILES, TAP
from banger.templates.frozen import check_files, read_meta
from banger.templates.making import TemplateMeta
from banger.vmm.qemu.layers import read_chain
from tests.crash.model import ALIVE, Violation
from tests.crash.network import Network

_DAEMON = b"banger.server.daemon"
# Owners in the store that are no machines, and live as long as the daemon that made them.
_POOL, _TEMPLATE = "pool-", "template-"
# In the directory of a machine that does not run these are of no use to anybody.
_ONLY_WHILE_ALIVE = ("memory", "devices", "*.new", "*.partial")


class Process(NamedTuple):
    """`marker` is BANGER_RESOURCE of a VMM, empty for others."""

    pid: int
    parent: int
    age_s: float
    marker: str
    command: bytes

    @property
    def is_daemon(self) -> bool:
        return _DAEMON in self.command

    def __str__(self) -> str:
        words = self.command.replace(b"\0", b" ").decode(errors="replace")
        marker = self.marker or "unmarked"
        return f"process {self.pid} (of {self.parent}, {self.age_s:.1f} s old, {marker}: {words[:120]})"


class Record(NamedTuple):
    owner: str
    kind: str
    identity: dict[str, str | int]


class World:
    """What one home has on this host."""

    def __init__(self, home: Path, run: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.run = run
        self.network = Network(self.state)
        self._whole: dict[Path, int] = {}

    def processes(self) -> list[Process]:
        """All that carry this home in their environment or in their command line, but us."""
        variable, path = b"BANGER_HOME=%s" % bytes(self.home), b"%s/" % bytes(self.home)
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                try:
                    environment = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                    command = Path(f"/proc/{entry}/cmdline").read_bytes()
                    if variable in environment or path in command:
                        found.append(_describe(int(entry), environment, command))
                except OSError:
                    continue
        return found

    def vmms(self) -> list[Process]:
        return [process for process in self.processes() if process.marker]

    def records(self) -> list[Record]:
        with closing(self._open_store()) as store:
            rows = store.execute("SELECT machine, kind, identity FROM resources").fetchall()
        return [Record(owner, kind, msgspec.json.decode(identity)) for owner, kind, identity in rows]

    def check_store(self) -> None:
        """Raises `Violation`. Only while a daemon runs: who opens a store first repairs it, and that is the daemon."""
        with closing(self._open_store()) as store:
            said = [row[0] for row in store.execute("PRAGMA integrity_check")]
        if said != ["ok"]:
            raise Violation(f"the store is damaged: {said}")

    def strays(self, machines: list[Machine], daemon: int) -> list[str]:
        """Whatever nobody accounts for: neither a machine as it is now, nor the pool or a template of this daemon."""
        processes = self.processes()
        records = self.records()
        return [
            *_stray_processes(processes, records, machines, daemon),
            *_stray_records(records, machines),
            *self._stray_files(records, machines),
            *self.network.strays(machines, _taps_of(records)),
        ]

    def remains(self) -> list[str]:
        """Once there is no machine, no snapshot and no daemon: whatever is left."""
        found = [str(process) for process in self.processes()]
        found += [f"{name} {process.pid}" for name, process in self.network.guards().items()]
        found += [str(record) for record in self.records()]
        for kind in ("machines", "snapshots"):
            found += [str(path) for path in _entries(self.state / kind)]
        found += [str(path) for path in _entries(self.state / "templates") if path.name.startswith(".")]
        return found + [str(path) for path in _entries(self.state / "sockets")]

    def check_templates(self) -> None:
        """Raises `Violation` unless each one that has its name is whole."""
        for directory in _published(self.state / "templates"):
            self._check_frozen(directory, TemplateMeta)

    def check_snapshots(self) -> None:
        for directory in _published(self.state / "snapshots"):
            self._check_frozen(directory, SnapshotMeta)

    def forget_checks(self) -> None:
        """Look at everything again: others may have written to what was whole."""
        self._whole.clear()

    def _check_frozen(self, directory: Path, kind: type[TemplateMeta] | type[SnapshotMeta]) -> None:
        try:
            inode = directory.stat().st_ino
            if self._whole.get(directory) == inode:
                return
            check_files(directory, read_meta(directory, kind).sums)
        except (Error, FileNotFoundError) as exc:
            if directory.exists():  # else somebody has just removed it
                raise Violation(f"{directory} is not whole: {exc}") from exc
            return
        self._whole[directory] = inode

    def _stray_files(self, records: list[Record], machines: list[Machine]) -> Iterator[str]:
        noted = {str(record.identity.get("path")) for record in records}
        alive = {machine.place or machine.id: machine.state.value in ALIVE for machine in machines}
        for directory in _entries(self.state / "machines"):
            if str(directory) not in noted:
                yield f"{directory}, which is nobody's"
            elif not alive.get(directory.name, True):  # others are clones in waiting
                yield from (str(path) for pattern in _ONLY_WHILE_ALIVE for path in directory.glob(pattern))
            if alive.get(directory.name) is not None:
                yield from _stray_layers(directory / "root.qcow2")
        for path in _entries(self.state / "sockets"):
            if str(path) not in noted:
                yield f"{path}, without a record"
        for kind in ("templates", "snapshots"):
            for path in _entries(self.state / kind):
                if path.name.startswith(".") and str(path) not in noted:
                    yield f"{path}, half of something"
        yield from (str(path) for path in (self.home / "cache/images").glob(".partial-*"))

    def _open_store(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.state}/banger.db?mode=ro", uri=True, timeout=10)


def _taps_of(records: list[Record]) -> dict[str, str]:
    """The owner of each recorded tap, by the keeper's key."""
    return {str(record.identity["key"]): record.owner for record in records if record.kind == TAP.name}


def _stray_layers(disk: Path) -> Iterator[str]:
    if disk.is_symlink():
        needed = set(read_chain(disk))
        yield from (str(path) for path in disk.parent.glob("layer-*") if path not in needed)


def _stray_processes(
    processes: list[Process], records: list[Record], machines: list[Machine], daemon: int
) -> Iterator[str]:
    owner_of = {record.identity.get("marker"): record.owner for record in records if record.kind == "vmm"}
    vmm_of = {machine.id: machine.pid for machine in machines if machine.state.value in ALIVE}
    for process in processes:
        owner = owner_of.get(process.marker, "")
        if process.is_daemon:
            accounted = process.pid == daemon
        elif owner.startswith((_POOL, _TEMPLATE)):
            accounted = process.parent == daemon
        else:
            accounted = vmm_of.get(owner) == process.pid
        if not accounted:
            yield f"{process}, of {owner or 'nobody'}"


def _stray_records(records: list[Record], machines: list[Machine]) -> Iterator[str]:
    alive = {machine.id: machine.state.value in ALIVE for machine in machines}
    for record in records:
        if record.owner in alive:
            if record.kind != FILES.name and not alive[record.owner]:
                yield f"{record}, of a machine that does not run"
        elif not record.owner.startswith((_POOL, _TEMPLATE)):
            yield f"{record}, of nobody"


def _describe(pid: int, environment: list[bytes], command: bytes) -> Process:
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    prefix = b"BANGER_RESOURCE="
    marker = next((v.removeprefix(prefix).decode() for v in environment if v.startswith(prefix)), "")
    return Process(pid, int(fields[1]), uptime_s - int(fields[19]) / TICKS_PER_S, marker, command)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []


def _published(directory: Path) -> list[Path]:
    return [path for path in _entries(directory) if not path.name.startswith(".")]
