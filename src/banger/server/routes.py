"""Every route of the API, as one table."""

from __future__ import annotations

from banger.model.command import Exec, ExecRequest
from banger.model.image import (
    Image,
    Kernel,
    Login,
    LoginRequest,
    LogoutRequest,
    Pruned,
    PullRequest,
    RegisterRequest,
    TagRequest,
)
from banger.model.machine import Machine, MachineSpec, StopRequest
from banger.model.operation import Operation
from banger.model.report import DiskUsage, FileStat, GuestPort, Health, Ping, Stats, SystemInfo
from banger.server import library, machines, operations, registries, streams, system
from banger.server.calls import Call, Query

_DRY_RUN = Query("dry_run", "boolean", "only say what would be removed")
_FORCE = Query("force", "boolean", "kill a running machine first")
_PATH = Query("path", "string", "a path in the guest")
_M = "/v1/machines/{name}"
_BYTES = "application/octet-stream"
_TAR = "application/x-tar"

CALLS: tuple[Call, ...] = (
    Call(method="GET", path="/v1/system", summary="Versions, places, accelerators, drivers",
         handler=system.system_info, answer=SystemInfo),
    Call(method="POST", path="/v1/system/shutdown", summary="Stop the daemon; machines go on",
         handler=system.shut_down),
    Call(method="GET", path="/v1/system/df", summary="What takes room on the disk",
         handler=system.disk_usage, answer=DiskUsage),
    Call(method="GET", path="/v1/operations", summary="All operations that are still known",
         handler=operations.list_operations, answer=list[Operation]),
    Call(method="GET", path="/v1/operations/{id}", summary="One operation",
         handler=operations.show_operation, answer=Operation),
    Call(method="GET", path="/v1/operations/{id}/events", summary="Its progress, until it has ended",
         handler=operations.watch_operation, media="application/x-ndjson"),
    Call(method="POST", path="/v1/operations/{id}/cancel", summary="Cancel it, and wait until it has cleaned up",
         handler=operations.cancel_operation, answer=Operation),
    Call(method="GET", path="/v1/images", summary="All images", handler=library.list_images, answer=list[Image]),
    Call(method="POST", path="/v1/images/pull", summary="Build or fetch an image",
         handler=library.pull_image, body=PullRequest, answer=Operation, status=202),
    Call(method="PUT", path="/v1/images/import", summary="Make an image of a tar stream",
         handler=library.import_image, answer=Image,
         query=(Query("name", "string", "what to call it"), Query("size_bytes", "integer", "of its disk"))),
    Call(method="POST", path="/v1/images/tag", summary="Give an image another name",
         handler=library.tag_image, body=TagRequest, answer=Image),
    Call(method="POST", path="/v1/images/register", summary="Take a ready ext4 disk as an image",
         handler=library.register_image, body=RegisterRequest, answer=Image, status=201),
    Call(method="GET", path="/v1/images/export", summary="The disk of an image, as it is",
         handler=library.export_image, media=_BYTES, query=(Query("name", "string", "which image"),)),
    Call(method="POST", path="/v1/images/prune", summary="Remove disks that no name and no machine uses",
         handler=library.prune_images, answer=Pruned, query=(_DRY_RUN,)),
    Call(method="POST", path="/v1/images/cache/prune", summary="Remove the compressed layers of registries",
         handler=library.prune_blobs, answer=Pruned, query=(_DRY_RUN,)),
    Call(method="GET", path="/v1/images/{name:path}", summary="One image", handler=library.show_image, answer=Image),
    Call(method="DELETE", path="/v1/images/{name:path}", summary="Delete an image that no machine uses",
         handler=library.delete_image),
    Call(method="POST", path="/v1/registries/login", summary="Check a password and keep it for later pulls",
         handler=registries.log_in, body=LoginRequest, answer=Login),
    Call(method="POST", path="/v1/registries/logout", summary="Forget a registry's password",
         handler=registries.log_out, body=LogoutRequest, answer=Login),
    Call(method="GET", path="/v1/kernels", summary="All kernels", handler=library.list_kernels, answer=list[Kernel]),
    Call(method="POST", path="/v1/kernels/pull", summary="Fetch a kernel",
         handler=library.pull_kernel, body=PullRequest, answer=Operation, status=202),
    Call(method="GET", path="/v1/kernels/{name}", summary="One kernel", handler=library.show_kernel, answer=Kernel),
    Call(method="DELETE", path="/v1/kernels/{name}", summary="Delete a kernel that no machine uses",
         handler=library.delete_kernel),
    Call(method="GET", path="/v1/machines", summary="All machines",
         handler=machines.list_machines, answer=list[Machine]),
    Call(method="POST", path="/v1/machines", summary="Create a machine; it is not started",
         handler=machines.create_machine, body=MachineSpec, answer=Machine, status=201),
    Call(method="GET", path=_M, summary="One machine, by name or id", handler=machines.show_machine, answer=Machine),
    Call(method="DELETE", path=_M, summary="Delete a machine and all that is its own",
         handler=machines.delete_machine, query=(_FORCE,)),
    Call(method="POST", path=_M + "/start", summary="Boot it",
         handler=machines.start_machine, answer=Operation, status=202),
    Call(method="POST", path=_M + "/stop", summary="Shut it down, politely first",
         handler=machines.stop_machine, body=StopRequest, body_optional=True, answer=Operation, status=202),
    Call(method="POST", path=_M + "/restart", summary="Stop it if it runs, then start it",
         handler=machines.restart_machine, body=StopRequest, body_optional=True, answer=Operation, status=202),
    Call(method="POST", path=_M + "/kill", summary="Kill the VMM at once, or signal the main command",
         handler=machines.kill_machine, query=(Query("signal", "integer", "send this to the main command"),)),
    Call(method="POST", path=_M + "/pause", summary="Stop its vCPUs", handler=machines.pause_machine, answer=Machine),
    Call(method="POST", path=_M + "/resume", summary="Let its vCPUs go on",
         handler=machines.resume_machine, answer=Machine),
    Call(method="GET", path=_M + "/wait", summary="Answers when it does not run any more",
         handler=machines.wait_machine, answer=Machine),
    Call(method="GET", path=_M + "/health", summary="Agent, init and VMM, each on its own",
         handler=machines.machine_health, answer=Health),
    Call(method="GET", path=_M + "/ping", summary="Round trips to the agent",
         handler=machines.machine_ping, answer=Ping, query=(Query("count", "integer", "how many"),)),
    Call(method="GET", path=_M + "/stats", summary="CPU, memory, disk, network of guest and VMM",
         handler=machines.machine_stats, answer=Stats),
    Call(method="GET", path=_M + "/ports", summary="Listening sockets of the guest",
         handler=machines.machine_ports, answer=list[GuestPort]),
    Call(method="GET", path=_M + "/logs", summary="Console, or output of the main command",
         handler=machines.machine_logs, media=_BYTES,
         query=(Query("source", "string", "console or exec"), Query("tail", "integer", "only the last lines"),
                Query("follow", "boolean", "go on until the machine stops"))),
    Call(method="GET", path=_M + "/execs", summary="Commands that run in it, and the last that ended",
         handler=machines.list_execs, answer=list[Exec]),
    Call(method="POST", path=_M + "/execs", summary="Start a command and leave it",
         handler=machines.start_exec, body=ExecRequest, answer=Exec, status=201),
    Call(method="GET", path=_M + "/files", summary="A file or tree of the guest, as tar",
         handler=machines.read_files, media=_TAR, query=(_PATH,)),
    Call(method="PUT", path=_M + "/files", summary="Unpack a tar stream below a directory of the guest",
         handler=machines.write_files, query=(_PATH,)),
    Call(method="GET", path=_M + "/files/stat", summary="What a path of the guest is",
         handler=machines.stat_file, answer=FileStat, query=(_PATH,)),
)  # fmt: skip

# path: (handler, summary)
STREAMS = {
    "/v1/run": (streams.handle_run, "Make, start and attach to a machine"),
    _M + "/exec": (streams.handle_exec, "Run a command and attach to it"),
    _M + "/attach": (streams.handle_attach, "Attach to the main command"),
}
