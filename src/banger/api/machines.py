"""Machines: requests and verbs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from banger.api.verb import BYTES, COMMAND_LIMIT_BYTES, TAR, Download, Feed, Request, Session, Upload, Verb
from banger.model.command import Bytes, Command, Exec, Exit
from banger.model.difference import FileChange
from banger.model.image import Image, Ref
from banger.model.machine import Machine, MachineSpec, RunRequest
from banger.model.network import Policy, PortRule, Rule
from banger.model.operation import Operation
from banger.model.report import FileStat, GuestPort, Health, Ping, Stats
from banger.model.template import Snapshot, Tag

_M = "/v1/machines/{machine}"
_TALKS = ("machine_not_found", "bad_state", "vmm_failed", "timeout")
_AWAKE = (*_TALKS, "agent_lost", "agent_silent", "agent_restarted", "agent_error")
_OPERATION = ("machine_not_found", "too_many_operations")
_COMMAND = ("command_not_found", "command_not_executable", "user_not_found", "bad_working_directory")
_MADE = ("bad_name", "name_taken", "image_not_found", "secret_not_found")
_STARTED = (
    *_MADE, *_COMMAND, "kernel_not_found", "driver_not_found", "boot_timeout", "vmm_failed", "insufficient_memory",
    "bad_state", "agent_lost", "too_many_operations", "network_not_found", "network_full",
)  # fmt: skip

Seconds = Annotated[float, Meta(ge=0, le=3600)]
ExecId = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
Signal = Annotated[int, Meta(ge=1, le=64)]
GuestPath = Annotated[str, Meta(min_length=1)]


class AllMachines(Request):
    """No field: all machines of the daemon."""


class OneMachine(Request):
    """`machine` is a name or an id."""

    machine: str


class CreateMachine(Request):
    """A machine as `spec` describes it. A second request with the same `idempotency_key` within 24 hours returns the
    machine that the first request made."""

    spec: MachineSpec
    idempotency_key: str | None = None


class DeleteMachine(OneMachine):
    """`force` kills a running machine first."""

    force: bool = False


class StopMachine(OneMachine):
    """`grace_s` is the time in seconds for each step of a clean shutdown, before the next, harder step; without it, it
    is the `stop_grace_s` of the machine, or 10."""

    grace_s: Seconds | None = None


class KillMachine(OneMachine):
    """With `signal` the main command gets that signal; without it the VMM is killed."""

    signal: Signal | None = None


class ChangeNetwork(OneMachine):
    """`network` is the new policy; empty leaves the policy as it is. `allow` and `deny` are added to the exceptions
    that the machine has; with `clear`, they replace these. The change applies to a running machine at once, and stays
    for its next starts."""

    network: Policy | Literal[""] = ""
    allow: Annotated[list[Rule], Meta(max_length=256)] = field(default_factory=list)
    deny: Annotated[list[Rule], Meta(max_length=256)] = field(default_factory=list)
    clear: bool = False


class ChangeExpiry(OneMachine):
    """The machine is deleted `ttl_s` seconds from now on, running or not; 0 means never."""

    ttl_s: Annotated[float, Meta(ge=0, le=31_536_000)]


class PublishPort(OneMachine):
    """`port` is [BIND:]HOST:GUEST[/tcp|udp], such as "8080:80"."""

    port: PortRule


class PingMachine(OneMachine):
    count: Annotated[int, Meta(ge=1, le=10_000)] = 1


class TaggedMachine(OneMachine):
    """`tag` names a snapshot of the machine."""

    tag: Tag


class ForkMachine(OneMachine):
    """The copies are named NAME-1, NAME-2 and so on. NAME is `name`, or the name of the machine if `name` is empty. A
    machine that has secrets is copied only `with_secrets`: the copies have them in their memory, too."""

    count: Annotated[int, Meta(ge=1, le=256)] = 1
    name: Annotated[str, Meta(max_length=60)] = ""
    with_secrets: bool = False


class CommitMachine(OneMachine):
    """`image` is the name of the image that the machine's disk becomes."""

    image: Ref


class ReadLogs(OneMachine):
    """`tail` is a number of lines. `follow` keeps sending until the machine stops. `exec` is the number of a command
    whose output source "exec" sends; without `exec`, it is the output of the main command. Source "exec" has times:
    `since` and `until` (RFC 3339) leave out lines that came earlier or later, and with `timestamps` each line begins
    with its time and a space. An unknown time is "-"."""

    source: Literal["console", "exec"] = "console"
    tail: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    follow: bool = False
    exec: ExecId | None = None
    timestamps: bool = False
    since: Annotated[str, Meta(max_length=64)] = ""
    until: Annotated[str, Meta(max_length=64)] = ""


class OneExec(OneMachine):
    """`id` is the number of a command, as `vm execs` lists it."""

    id: ExecId


class SignalExec(OneExec):
    """Only the process of the command gets `signal`."""

    signal: Signal = 9


class StartExec(OneMachine):
    """A command that no client is attached to."""

    command: Command = field(default_factory=Command)


class ReadFiles(OneMachine):
    """With `follow`, a `path` that is a link means the file that the link points to."""

    path: GuestPath
    follow: bool = False


class WriteFiles(OneMachine):
    """`path` is a directory of the guest."""

    path: GuestPath


class StatFile(OneMachine):
    path: GuestPath


class ExecMachine(OneMachine):
    command: Command = field(default_factory=Command)


class AttachMachine(OneMachine):
    """`exec` is the number of a command; without it the main command."""

    exec: ExecId | None = None


class TunnelMachine(OneMachine):
    """`port` is a TCP port of the machine, at any of its addresses."""

    port: Annotated[int, Meta(ge=1, le=65535)]


class RunApplet(OneMachine):
    """`applet` is a program that is part of the agent: `sftp` speaks SFTP, for images without an SFTP server; `connect`
    connects to `unix PATH` or `tcp HOST PORT` from the guest; `listen` takes connections that are made in the guest,
    and `watch` tells what changes in a directory, both as docs/protocol.md has it. `argv` are its arguments. `user` is
    the user of the guest whose rights it has; empty means root."""

    applet: Literal["sftp", "connect", "listen", "watch"]
    argv: Annotated[list[Bytes], Meta(max_length=3)] = field(default_factory=list)
    user: Bytes = ""


# fmt: off
LIST = Verb(
    name="machines.list", summary="All machines", method="GET", path="/v1/machines",
    request=AllMachines, result=list[Machine],
)
CREATE = Verb(
    name="machines.create", summary="Create a machine; the machine is not started", method="POST",
    path="/v1/machines", request=CreateMachine, result=Machine, status=201, body="spec",
    header={"idempotency_key": "Idempotency-Key"}, body_limit_bytes=COMMAND_LIMIT_BYTES,
    errors=(
        "bad_name", "name_taken", "driver_not_found", "network_not_found", "network_full", "idempotency_conflict",
        "secret_not_found",
    ),
    example={"spec": {"image": "debian-bookworm", "name": "dev", "memory_mib": 1024}},
)
GET = Verb(
    name="machines.get", summary="One machine, by name or id", method="GET", path=_M,
    request=OneMachine, result=Machine, errors=("machine_not_found",), example={"machine": "dev"},
)
DELETE = Verb(
    name="machines.delete", summary="Delete a machine and everything that belongs to it", method="DELETE", path=_M,
    request=DeleteMachine, result=type(None), query=("force",),
    errors=("machine_not_found", "bad_state", "not_released", "vmm_failed"),
    example={"machine": "dev", "force": True},
)
START = Verb(
    name="machines.start", summary="Boot a machine", method="POST", path=_M + "/start",
    request=OneMachine, result=Operation[Machine], status=202, errors=_OPERATION,
    example={"machine": "dev"},
)
STOP = Verb(
    name="machines.stop", summary="Shut a machine down, and kill it if that fails", method="POST", path=_M + "/stop",
    request=StopMachine, result=Operation[Machine], status=202, errors=_OPERATION,
    example={"machine": "dev", "grace_s": 5},
)
RESTART = Verb(
    name="machines.restart", summary="Stop a machine if it runs, then start it", method="POST", path=_M + "/restart",
    request=StopMachine, result=Operation[Machine], status=202, errors=_OPERATION,
    example={"machine": "dev"},
)
KILL = Verb(
    name="machines.kill", summary="Kill the VMM at once, or send a signal to the main command", method="POST",
    path=_M + "/kill", request=KillMachine, result=type(None), query=("signal",),
    errors=(*_AWAKE, "exec_not_found"), example={"machine": "dev", "signal": 15},
)
PAUSE = Verb(
    name="machines.pause", summary="Stop the vCPUs of a machine", method="POST", path=_M + "/pause",
    request=OneMachine, result=Machine, errors=_TALKS, example={"machine": "dev"},
)
RESUME = Verb(
    name="machines.resume", summary="Let the vCPUs of a machine continue", method="POST", path=_M + "/resume",
    request=OneMachine, result=Machine, errors=_AWAKE, example={"machine": "dev"},
)
SNAPSHOT = Verb(
    name="machines.snapshot", summary="Save memory and disk of a machine; the machine keeps running", method="POST",
    path=_M + "/snapshot", request=TaggedMachine, result=Operation[Snapshot], status=202,
    errors=_OPERATION, example={"machine": "dev", "tag": "clean"},
)
RESTORE = Verb(
    name="machines.restore", summary="Set a machine back to a snapshot; a deleted machine is made again",
    method="POST", path=_M + "/restore", request=TaggedMachine, result=Operation[Machine], status=202,
    errors=("too_many_operations",), example={"machine": "dev", "tag": "clean"},
)
FORK = Verb(
    name="machines.fork", summary="Make running copies of a running machine", method="POST", path=_M + "/fork",
    request=ForkMachine, result=Operation[list[Machine]], status=202, errors=_OPERATION,
    example={"machine": "dev", "count": 3},
)
COMMIT = Verb(
    name="machines.commit", summary="Make an image of a machine's disk", method="POST", path=_M + "/commit",
    request=CommitMachine, result=Operation[Image], status=202, errors=_OPERATION,
    example={"machine": "dev", "image": "dev-with-tools"},
)
DIFF: Feed[OneMachine, FileChange] = Feed(
    name="machines.diff", summary="What changed on a machine's disk since it was made from its image", method="GET",
    path=_M + "/diff", request=OneMachine, lines=(FileChange,), waits=True,
    errors=(*_AWAKE, "image_not_found", "boot_timeout", "insufficient_memory"),
    example={"machine": "dev"},
)
WAIT = Verb(
    name="machines.wait", summary="Wait until a machine no longer runs", method="GET", path=_M + "/wait",
    request=OneMachine, result=Machine, waits=True, errors=("machine_not_found",), example={"machine": "dev"},
)
HEALTH = Verb(
    name="machines.health", summary="Agent, init, clock and VMM of a machine, each on its own", method="GET",
    path=_M + "/health", request=OneMachine, result=Health, errors=("machine_not_found", "bad_state"),
    example={"machine": "dev"},
)
PING = Verb(
    name="machines.ping", summary="Round trips to the agent, measured in the daemon", method="GET", path=_M + "/ping",
    request=PingMachine, result=Ping, query=("count",), errors=_AWAKE, example={"machine": "dev", "count": 10},
)
STATS = Verb(
    name="machines.stats", summary="CPU, memory, disk and network of guest and VMM", method="GET", path=_M + "/stats",
    request=OneMachine, result=Stats, errors=_AWAKE, example={"machine": "dev"},
)
PORTS = Verb(
    name="machines.ports", summary="Listening sockets of the guest", method="GET", path=_M + "/ports",
    request=OneMachine, result=list[GuestPort], errors=_AWAKE, example={"machine": "dev"},
)
CHANGE_NETWORK = Verb(
    name="machines.change_network", summary="Change what a machine may reach", method="POST", path=_M + "/network",
    request=ChangeNetwork, result=Machine,
    errors=("machine_not_found", "network_not_found", "bad_state", "network_failed"),
    example={"machine": "dev", "network": "lan", "allow": ["example.com:443"]},
)
CHANGE_EXPIRY = Verb(
    name="machines.change_expiry", summary="Change when a machine is deleted by itself", method="POST",
    path=_M + "/expiry", request=ChangeExpiry, result=Machine, errors=("machine_not_found",),
    example={"machine": "dev", "ttl_s": 3600},
)
PUBLISH = Verb(
    name="machines.publish", summary="Let a port of the host lead to a port of a machine", method="POST",
    path=_M + "/published", request=PublishPort, result=Machine,
    errors=("machine_not_found", "bad_state", "port_in_use", "network_failed"),
    example={"machine": "dev", "port": "8080:80"},
)
UNPUBLISH = Verb(
    name="machines.unpublish", summary="Close a published port of a machine", method="DELETE", path=_M + "/published",
    request=PublishPort, result=Machine, query=("port",),
    errors=("machine_not_found", "not_found", "network_failed"),
    example={"machine": "dev", "port": "8080:80"},
)
LOGS = Download(
    name="machines.logs", summary="The console, or the output of a command", method="GET", path=_M + "/logs",
    request=ReadLogs, media=BYTES, query=("source", "tail", "follow", "exec", "timestamps", "since", "until"),
    errors=("machine_not_found", "exec_not_found"), example={"machine": "dev", "tail": 100},
)
EXECS = Verb(
    name="machines.execs", summary="Commands that run in a machine, and the last ones that ended", method="GET",
    path=_M + "/execs", request=OneMachine, result=list[Exec], errors=_AWAKE,
    example={"machine": "dev"},
)
EXEC_DETACHED = Verb(
    name="machines.exec_detached", summary="Start a command without attaching to it", method="POST", path=_M + "/execs",
    request=StartExec, result=Exec, status=201, body_limit_bytes=COMMAND_LIMIT_BYTES,
    errors=(*_AWAKE, *_COMMAND), example={"machine": "dev", "command": {"argv": ["make", "test"]}},
)
GET_EXEC = Verb(
    name="machines.get_exec", summary="One command", method="GET", path=_M + "/execs/{id}",
    request=OneExec, result=Exec, errors=(*_AWAKE, "exec_not_found"),
    example={"machine": "dev", "id": 3},
)
SIGNAL_EXEC = Verb(
    name="machines.signal_exec", summary="Send a signal to a command", method="POST", path=_M + "/execs/{id}/kill",
    request=SignalExec, result=type(None), query=("signal",), errors=(*_AWAKE, "exec_not_found"),
    example={"machine": "dev", "id": 3, "signal": 15},
)
WAIT_EXEC = Verb(
    name="machines.wait_exec", summary="Wait until a command has ended", method="GET", path=_M + "/execs/{id}/wait",
    request=OneExec, result=Exit, waits=True, errors=(*_AWAKE, "exec_not_found"),
    example={"machine": "dev", "id": 3},
)
GET_FILES = Download(
    name="machines.get_files", summary="A file or tree of the guest, as tar", method="GET", path=_M + "/files",
    request=ReadFiles, media=TAR, query=("path", "follow"), errors=(*_AWAKE, "file_not_found"),
    example={"machine": "dev", "path": "/etc/hostname"},
)
PUT_FILES = Upload(
    name="machines.put_files", summary="Extract a tar stream below a directory of the guest", method="PUT",
    path=_M + "/files", request=WriteFiles, result=type(None), query=("path",),
    errors=(*_AWAKE, "file_not_found", "archive_invalid"),
    example={"machine": "dev", "path": "/srv"},
)
STAT_FILE = Verb(
    name="machines.stat_file", summary="Type, mode, owner, size and time of a path of the guest", method="GET",
    path=_M + "/files/stat", request=StatFile, result=FileStat, query=("path",),
    errors=(*_AWAKE, "file_not_found"), example={"machine": "dev", "path": "/srv"},
)
RUN = Session(
    name="machines.run", summary="Make a machine, start it and attach to its command", path="/v1/run",
    request=RunRequest, errors=_STARTED,
    example={"spec": {"image": "debian-bookworm", "remove": True, "command": {"argv": ["uname", "-a"]}}},
)
EXEC = Session(
    name="machines.exec", summary="Run a command in a machine and attach to it", path=_M + "/exec",
    request=ExecMachine, errors=(*_AWAKE, *_COMMAND), example={"machine": "dev", "command": {"argv": ["sh"]}},
)
ATTACH = Session(
    name="machines.attach", summary="Attach to a running command", path=_M + "/attach",
    request=AttachMachine, errors=(*_AWAKE, "exec_not_found"), example={"machine": "dev"},
)
TUNNEL = Session(
    name="machines.tunnel", summary="Connect to a port of a machine", path=_M + "/tunnel", request=TunnelMachine,
    errors=(*_AWAKE, "port_refused", "too_many_connections", "unsupported"), example={"machine": "dev", "port": 22},
)
APPLET = Session(
    name="machines.applet", summary="Run a program that is part of the agent, and attach to it", path=_M + "/applet",
    request=RunApplet, errors=(*_AWAKE, "user_not_found"), example={"machine": "dev", "applet": "sftp"},
)
VERBS = (
    LIST, CREATE, GET, DELETE, START, STOP, RESTART, KILL, PAUSE, RESUME, SNAPSHOT, RESTORE, FORK, COMMIT, DIFF,
    WAIT, HEALTH, PING, STATS, PORTS, CHANGE_NETWORK, CHANGE_EXPIRY, PUBLISH, UNPUBLISH, LOGS, EXECS, EXEC_DETACHED,
    GET_EXEC, SIGNAL_EXEC, WAIT_EXEC, GET_FILES, PUT_FILES, STAT_FILE,
)
SESSIONS = (RUN, EXEC, ATTACH, TUNNEL, APPLET)
