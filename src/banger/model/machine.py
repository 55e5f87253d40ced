"""A machine: what was asked for, what it is now."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Literal, TypedDict

from msgspec import Meta, Struct

from banger.model.command import Command, Exit
from banger.model.sizes import GIB

Accel = Literal["auto", "kvm", "tcg"]
# Process 1: the agent; the image's init, with the agent beside it; the agent, while the main command is process 1 of a
# space of its own.
Init = Literal["agent", "image", "entrypoint"]
# What an image may ask for by itself.
ImageInit = Literal["agent", "image"]
# What becomes of a machine that ended without being asked to; "on-failure:3" tries three times in a row.
RESTART_PATTERN = r"^(no|always|unless-stopped|on-failure(:[1-9][0-9]{0,5})?)\Z"


class MachineState(str, Enum):
    """Where a machine is in its life; the edges are in `banger.machines.keep.states`."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DELETING = "deleting"


class MachineSpec(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a user asks for. Units are in the names; `name` empty: one is made up; `kernel` and `init` empty: as the
    image wants, which is filled in at the first start; `driver` empty: the first
    that this host has; `idle_pause_s` 0: it is never paused for idleness.
    `..._limit...` are of the host's side, 0 as far as the machine needs: memory and threads of the VMM, processors'
    worth of time, bytes and operations a second of the root disk, reads and writes together. `limits`: whether one
    that cannot be enforced is refused."""

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
    cold: bool = False
    restart: Annotated[str, Meta(pattern=RESTART_PATTERN)] = "no"
    idle_pause_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0
    cpu_limit: Annotated[float, Meta(ge=0, le=4096)] = 0
    memory_limit_bytes: Annotated[int, Meta(ge=0, le=1 << 60)] = 0
    pids_limit: Annotated[int, Meta(ge=0, le=1 << 22)] = 0
    io_limit_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    iops_limit: Annotated[int, Meta(ge=0, le=1 << 30)] = 0
    limits: Literal["strict", "best-effort"] = "strict"
    boot_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 60
    command: Command | None = None


class Machine(Struct, kw_only=True, frozen=True):
    """What a machine is. The daemon changes it through its registry alone, which writes first. Times are RFC 3339
    in UTC; `owner` is the uid of the user who made it, None for a machine of an earlier version; `accel` is what it
    really runs on, empty before its first start, and `accel_reason` says why not on a faster one; `pid` is the VMM
    process's; `idle` while it is paused only until somebody wants something of it, `disk_full` while it is only until
    the host's disk has room; `limits` are those that hold, and why others do not; `agent_boot` tells the agent that
    its guest has from others; `origin` tells what it came from: a boot, "template ID", "snapshot NAME:TAG", "fork of
    NAME"; `unfinished`: a copy whose making is not done, it goes if the daemon ends before; `place` names its
    directory, empty: its id; `wanted` is what its user asked for last; `restarts` counts those in a row that nobody
    asked for, `reboots` those that its guest did."""

    id: str
    name: str
    state: MachineState
    spec: MachineSpec
    created: str
    owner: int | None = None
    image_digest: str = ""
    kernel: str = ""
    driver: str = ""
    accel: str = ""
    accel_reason: str = ""
    kernel_digest: str = ""
    idle: bool = False
    disk_full: bool = False
    wanted: Literal["", "running", "stopped"] = ""
    restarts: int = 0
    reboots: int = 0
    origin: str = ""
    unfinished: bool = False
    place: str = ""
    address: str = ""
    stop_signal: str = ""
    pid: int = 0
    agent_boot: str = ""
    started: str = ""
    stopped: str = ""
    reason: str = ""
    limits: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    exit: Exit | None = None
    timings_ms: Mapping[str, float] = {}


class Change(TypedDict, total=False):
    """What may change of a machine, beside the state that it is in."""

    owner: int | None
    spec: MachineSpec
    image_digest: str
    kernel: str
    driver: str
    accel: str
    accel_reason: str
    kernel_digest: str
    idle: bool
    disk_full: bool
    wanted: Literal["", "running", "stopped"]
    restarts: int
    reboots: int
    agent_boot: str
    origin: str
    unfinished: bool
    place: str
    address: str
    stop_signal: str
    pid: int
    started: str
    stopped: str
    reason: str
    limits: Mapping[str, str]
    warnings: tuple[str, ...]
    exit: Exit | None
    timings_ms: Mapping[str, float]


class RunRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """First message on a run stream: make a machine, start it, run its command, attach."""

    spec: MachineSpec
    detach: bool = False
