"""A machine: its spec and its present state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Literal, TypedDict

from msgspec import Meta, Struct

from banger.model.command import Command, Exit, Surroundings
from banger.model.ending import Ending, PauseCause
from banger.model.healthcheck import HealthCheck, HealthState
from banger.model.labels import Labels
from banger.model.mount import Mount
from banger.model.network import AddressText, MachineNetwork, Membership, Policy, PortRule, Rule
from banger.model.origin import Origin
from banger.model.sizes import GIB

Accel = Literal["auto", "kvm", "tcg"]
# Process 1: the agent; the image's init, with the agent beside it; the agent, while the main command is process 1 of a
# space of its own.
Init = Literal["agent", "image", "entrypoint"]
# What an image may ask for by itself.
ImageInit = Literal["agent", "image"]
# When to start a machine again that ended by itself; "on-failure:3" tries three times in a row.
RESTART_PATTERN = r"^(no|always|unless-stopped|on-failure(:[1-9][0-9]{0,5})?)\Z"


class MachineState(str, Enum):
    """The state of a machine; the moves between states are in `banger.machines.keep.states`."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DELETING = "deleting"


RootDisk = Literal["", "layer", "reflink", "copy"]


class MachineSpec(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a user asks for when creating a machine. Units are in the names. An empty `name` means a generated name. An
    empty `kernel` or `init` means what the image wants; the first start fills it in. An empty `driver` means the first
    driver that this host has, "auto" the fastest one. `idle_pause_s` 0 means that the machine is never paused for being
    idle. The `..._limit...` fields limit what the machine takes of the host, and 0 means as much as the machine needs:
    memory and threads of the VMM, processor time as a number of processors, bytes per second and operations per second
    of the root disk (reads and writes together). `limits` says whether a limit that this host cannot enforce is an
    error. `network` is the policy, which says what the guest can reach; empty means the default of the configuration,
    and for a machine on named networks "internet", or "none" if all of them are internal. "none" is nothing but what
    `allow` opens; without that and without a named network the guest has no network interface. `networks` are the named
    networks that the machine is on. `allow` and `deny` are exceptions from the policy, such as "example.com:443". `dns`
    are name servers to use instead of the host's, `hosts` are names with an address each, such as "db:192.0.2.7". An
    empty `hostname` means the machine's name. `ports` are ports of the host that lead to the guest, such as "8080:80";
    `publish_all` publishes each port that the image exposes. `mounts` are directories of the host. `read_only` mounts
    the root disk read-only, `tmpfs` are directories in the memory of the guest, such as "/run:size=64m", and `ulimits`
    are limits of its commands, such as "nofile=1024:4096", all as Docker writes them. `labels` are words of the user.
    `healthcheck` is run as long as the machine runs. An empty `stop_signal` means the image's, and `stop_grace_s` is
    how long a clean shutdown may take by default. `aslr` says whether the guest's programs get random addresses; "auto"
    means not where emulation is several times slower with them. `confine` says whether a layer of the jail that this
    host does not have is an error. `remove` deletes the machine when its command ends. `ttl_s` deletes the machine when
    it is that old, in seconds; 0 means never. `cold` boots the machine instead of starting it from a template."""

    image: Annotated[str, Meta(min_length=1, max_length=1024)]
    name: Annotated[str, Meta(max_length=64)] = ""
    kernel: Annotated[str, Meta(max_length=1024)] = ""
    cpus: Annotated[int, Meta(ge=1, le=64)] = 1
    memory_mib: Annotated[int, Meta(ge=64, le=1024 * 1024)] = 512
    disk_bytes: Annotated[int, Meta(ge=0)] = 4 * GIB
    init: Init | Literal[""] = ""
    accel: Accel = "auto"
    driver: Annotated[str, Meta(max_length=32)] = ""
    remove: bool = False
    ttl_s: Annotated[float, Meta(ge=0, le=3_153_600_000)] = 0
    cold: bool = False
    restart: Annotated[str, Meta(pattern=RESTART_PATTERN)] = "no"
    idle_pause_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0
    cpu_limit: Annotated[float, Meta(ge=0, le=4096)] = 0
    memory_limit_bytes: Annotated[int, Meta(ge=0, le=1 << 60)] = 0
    pids_limit: Annotated[int, Meta(ge=0, le=1 << 22)] = 0
    io_limit_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    iops_limit: Annotated[int, Meta(ge=0, le=1 << 30)] = 0
    limits: Literal["strict", "best-effort"] = "strict"
    network: Policy | Literal[""] = ""
    networks: Annotated[list[Membership], Meta(max_length=16)] = []
    allow: Annotated[list[Rule], Meta(max_length=256)] = []
    deny: Annotated[list[Rule], Meta(max_length=256)] = []
    dns: Annotated[list[AddressText], Meta(max_length=8)] = []
    hosts: Annotated[list[Rule], Meta(max_length=256)] = []
    hostname: Annotated[str, Meta(max_length=63)] = ""
    ports: Annotated[list[PortRule], Meta(max_length=256)] = []
    publish_all: bool = False
    mounts: Annotated[list[Mount], Meta(max_length=32)] = []
    read_only: bool = False
    tmpfs: Annotated[list[Annotated[str, Meta(max_length=8192)]], Meta(max_length=64)] = []
    ulimits: Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=32)] = []
    labels: Labels = {}
    healthcheck: HealthCheck | None = None
    stop_signal: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+]{0,16}\Z")] = ""
    aslr: Literal["auto", "on", "off"] = "auto"
    stop_grace_s: Annotated[float, Meta(ge=0, le=3600)] | None = None
    confine: Literal["strict", "best-effort"] = "best-effort"
    boot_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 60
    command: Command | None = None


class Confinement(Struct, kw_only=True, frozen=True):
    """The jail of a VMM. `layers` are those in force: "user" (a user of its own, or a user namespace), "mount", "pid",
    "ipc", "uts", "net" (namespaces), "landlock" and "seccomp", and "jailer" for Firecracker's own. `missing` says of
    each other layer why it is not."""

    layers: tuple[str, ...] = ()
    missing: Mapping[str, str] = {}


class Machine(Struct, kw_only=True, frozen=True):
    """A machine as the daemon records it. Only the daemon's registry changes it: it writes the record first. Times are
    RFC 3339 in UTC. `owner` is the uid of the user who made the machine, None for a machine of an earlier version.
    `accel` is the accelerator in use, empty before the first start; `accel_reason` says why it is not a faster one.
    `driver_version` is the version of the VMM that was started last, and `driver_lacks` what this version lacks.
    `root_disk` is how its disk was made: as a "layer" above another disk, as a copy that shares its blocks ("reflink"),
    or as a "copy" with blocks of its own. `pid` is the process of the VMM. `has_started` is true once the latest start
    is complete. `health` is what the machine's own check says of it. `ending` is why the machine ended, and
    `restart_in_s` how long after that banger starts it again, None if it does not. `pause_cause` is why it is paused;
    `idle` and `disk_full` say the same. `disk_failed` is true after an access to the root disk failed since the latest
    start. `reason` has `ending` or `pause_cause` in words, which may change. `limits` are the limits in force, and the
    reasons why others are not. `confinement` is the jail that the VMM is in, `address` the IPv4 address of the guest
    for its whole life, and `network` what else its network has. `surroundings` is what its image gives its commands,
    None before the first start. `aslr` says whether the guest's programs got random addresses at the latest start.
    `agent_boot` tells the agent of this guest from others.
    `origin` is what the machine came from, None before the first start. `unfinished` is true for a copy that is still
    being made; it goes if the daemon ends before. `wiped` is true from a reset to the next start. `place` names the
    machine's directory; empty means the id. `wanted` is the state that the user asked for last. `restarts` counts the
    restarts by banger in a row, `reboots` those by the guest."""

    id: str
    name: str
    state: MachineState
    spec: MachineSpec
    created: str
    owner: int | None = None
    image_digest: str = ""
    kernel: str = ""
    driver: str = ""
    driver_version: str = ""
    driver_lacks: tuple[str, ...] = ()
    accel: str = ""
    accel_reason: str = ""
    root_disk: RootDisk = ""
    kernel_digest: str = ""
    has_started: bool = False
    health: HealthState = ""
    pause_cause: PauseCause | None = None
    ending: Ending | None = None
    restart_in_s: float | None = None
    disk_failed: bool = False
    idle: bool = False
    disk_full: bool = False
    wanted: Literal["", "running", "stopped"] = ""
    restarts: int = 0
    reboots: int = 0
    origin: Origin | None = None
    unfinished: bool = False
    wiped: bool = False
    place: str = ""
    address: str = ""
    network: MachineNetwork = MachineNetwork()
    stop_signal: str = ""
    surroundings: Surroundings | None = None
    aslr: Literal["", "on", "off"] = ""
    pid: int = 0
    agent_boot: str = ""
    started: str = ""
    stopped: str = ""
    reason: str = ""
    limits: Mapping[str, str] = {}
    confinement: Confinement = Confinement()
    warnings: tuple[str, ...] = ()
    exit: Exit | None = None
    timings_ms: Mapping[str, float] = {}


class Change(TypedDict, total=False):
    """The fields of a machine that may change, apart from its state and from what is made from others."""

    owner: int | None
    spec: MachineSpec
    image_digest: str
    kernel: str
    driver: str
    driver_version: str
    driver_lacks: tuple[str, ...]
    accel: str
    accel_reason: str
    root_disk: RootDisk
    kernel_digest: str
    has_started: bool
    health: HealthState
    pause_cause: PauseCause | None
    ending: Ending | None
    restart_in_s: float | None
    disk_failed: bool
    wanted: Literal["", "running", "stopped"]
    restarts: int
    reboots: int
    agent_boot: str
    origin: Origin | None
    unfinished: bool
    wiped: bool
    place: str
    address: str
    network: MachineNetwork
    stop_signal: str
    surroundings: Surroundings | None
    aslr: Literal["", "on", "off"]
    pid: int
    started: str
    stopped: str
    limits: Mapping[str, str]
    confinement: Confinement
    warnings: tuple[str, ...]
    exit: Exit | None
    timings_ms: Mapping[str, float]


class RunRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """First message of a run stream: make a machine, start it, run its command and attach to the command."""

    spec: MachineSpec
    detach: bool = False
