"""What a running machine tells: health, round trips, statistics, ports; and what banger tells of itself."""

from __future__ import annotations

from msgspec import Struct


class Check(Struct, kw_only=True):
    ok: bool
    message: str


class Health(Struct, kw_only=True):
    agent: Check
    init: Check
    clock: Check
    vmm: Check


class Ping(Struct, kw_only=True):
    round_trips_ms: list[float]


class GuestPort(Struct, kw_only=True):
    """`protocol` is tcp, tcp6, udp or udp6; `pid` 0: no process found."""

    protocol: str
    address: str
    port: int
    pid: int
    process: str


class DiskIo(Struct, kw_only=True):
    name: str
    read_bytes: int
    written_bytes: int


class NetIo(Struct, kw_only=True):
    name: str
    received_bytes: int
    sent_bytes: int


class GuestStats(Struct, kw_only=True):
    """CPU seconds are summed over all CPUs since boot."""

    uptime_s: float
    cpu_busy_s: float
    cpu_idle_s: float
    load_1min: float
    memory_total_bytes: int
    memory_available_bytes: int
    root_total_bytes: int
    root_available_bytes: int
    disks: list[DiskIo]
    networks: list[NetIo]


class VmmStats(Struct, kw_only=True):
    """The VMM's process on the host; `disk_bytes` is what the machine's own overlay takes."""

    pid: int
    accel: str
    cpu_s: float
    memory_rss_bytes: int
    memory_pss_bytes: int
    threads: int
    disk_bytes: int


class Stats(Struct, kw_only=True):
    guest: GuestStats
    vmm: VmmStats


class FileStat(Struct, kw_only=True):
    """`type`: file, directory, symlink or other; `mode` holds the permission bits."""

    type: str
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime: int


class Accelerator(Struct, kw_only=True):
    name: str
    usable: bool
    reason: str


class DriverReport(Struct, kw_only=True):
    name: str
    version: str
    path: str
    accels: list[str]
    problem: str


class SystemInfo(Struct, kw_only=True):
    """`places` maps what to the path where it is kept; `store_damage` says what was found hurt in the store, with its
    time, the newest last."""

    version: str
    python: str
    daemon_pid: int
    mode: str
    socket: str
    architecture: str
    agent: str
    store_version: int
    machines: int
    places: dict[str, str]
    accelerators: list[Accelerator]
    drivers: list[DriverReport]
    store_damage: list[str] = []


class Room(Struct, kw_only=True):
    """What one kind of thing takes on disk, and how much of that a prune could free."""

    kind: str
    count: int
    bytes: int
    reclaimable_bytes: int


class DiskUsage(Struct, kw_only=True):
    rooms: list[Room]
    free_bytes: int


class Leftover(Struct, kw_only=True):
    """Something in banger's name that no record leads to. `kind`: process, directory or cgroup; `removed` whether it is
    gone now; `problem` why not."""

    kind: str
    what: str
    removed: bool = False
    problem: str = ""


class Unreleased(Struct, kw_only=True):
    """Something that was to be released, and could not be: its record stays. `owner`: a machine's name, or what it was
    made for; `released`: it is gone now; `problem`: why not."""

    owner: str
    kind: str
    what: str
    released: bool = False
    problem: str = ""


class SettledMachine(Struct, kw_only=True):
    """A machine whose record said something else than the host."""

    name: str
    was: str
    now: str
    reason: str


class Reconciliation(Struct, kw_only=True):
    """What a look at the host found, and what was done about it."""

    machines: list[SettledMachine]
    leftovers: list[Leftover]
    dry_run: bool = False
    unreleased: list[Unreleased] = []
