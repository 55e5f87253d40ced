"""Reports on a running machine (health, round trips, statistics, ports), and on banger itself."""

from __future__ import annotations

from msgspec import Struct

from banger.model.network import PublishedPort


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
    """A listening socket. `protocol` is tcp, tcp6, udp or udp6. `pid` is 0 if no process was found. `loopback`: it
    listens on the machine's own loopback only. `published`: the ports of the host that lead to it. `publishable`: a
    port of the host can lead to it now. A tunnel leads to each TCP port."""

    protocol: str
    address: str
    port: int
    pid: int
    process: str
    loopback: bool = False
    published: tuple[PublishedPort, ...] = ()
    publishable: bool = False


class DiskIo(Struct, kw_only=True):
    name: str
    read_bytes: int
    written_bytes: int


class NetIo(Struct, kw_only=True):
    name: str
    received_bytes: int
    sent_bytes: int


class GuestStats(Struct, kw_only=True):
    """CPU seconds are the sum over all CPUs since boot."""

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
    """The VMM's process on the host. `disk_bytes` is the space that the machine's own overlay takes."""

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
    """`type` is file, directory, symlink or other. `mode` has the permission bits. `mtime` is in seconds since 1970."""

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
    """`problem` says why machines cannot run on it, and `lacks` which features its version lacks. `jail`: the VMM's own
    jail that its machines run in ("jailer"), empty for banger's alone."""

    name: str
    version: str
    path: str
    accels: list[str]
    problem: str
    lacks: list[str] = []
    jail: str = ""


class AutoDriver(Struct, kw_only=True):
    """The driver that `--driver auto` means on this host at the moment, and why. `is_tried`: a machine has come up on
    it since this host booted, or it needs no trial."""

    driver: str
    reason: str
    is_tried: bool


class SystemInfo(Struct, kw_only=True):
    """`places` has the path of each kind of file that banger keeps. `store_damage` lists damage found in the store,
    each with its time, the newest last. `no_taps` says why machines get no taps, and so no policy of their own."""

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
    auto_driver: AutoDriver | None = None
    store_damage: list[str] = []
    no_taps: str = ""


class Room(Struct, kw_only=True):
    """The disk space that one kind of thing takes, and how much of it a prune could free."""

    kind: str
    count: int
    bytes: int
    reclaimable_bytes: int


class DiskUsage(Struct, kw_only=True):
    rooms: list[Room]
    free_bytes: int


class Leftover(Struct, kw_only=True):
    """Something with banger's name that no record refers to. `kind` is process, directory or cgroup. `removed` says
    whether it is gone now, and `problem` why not."""

    kind: str
    what: str
    removed: bool = False
    problem: str = ""


class Unreleased(Struct, kw_only=True):
    """A resource that could not be released, so that its record stays. `owner` is the name of a machine, or what the
    resource was made for. `released` says whether it is gone now, and `problem` why not."""

    owner: str
    kind: str
    what: str
    released: bool = False
    problem: str = ""


class SettledMachine(Struct, kw_only=True):
    """A machine whose record differed from the host."""

    name: str
    was: str
    now: str
    reason: str


class Reconciliation(Struct, kw_only=True):
    """What a comparison of the records with the host found, and what was done about it."""

    machines: list[SettledMachine]
    leftovers: list[Leftover]
    dry_run: bool = False
    unreleased: list[Unreleased] = []
