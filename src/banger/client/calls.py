"""Every call of the API, once, as data: what to send and what comes back.

A function here makes a `Call[T]`; `sync`, `aio` and the command line each know how to carry one out. Costs
nothing to import: the types of the answers are named, and loaded by `answers` when one is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable

from banger.client.http1 import encode_query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack

    from banger.model.catalog import Catalog, Offer
    from banger.model.command import Command, Exec, Exit
    from banger.model.image import Image, Kernel, Login, Pruned
    from banger.model.machine import Accel, Init, Machine
    from banger.model.operation import Operation
    from banger.model.report import (
        DiskUsage,
        FileStat,
        GuestPort,
        Health,
        Ping,
        Reconciliation,
        Stats,
        SystemInfo,
    )
    from banger.model.template import Snapshot, Template

    T = TypeVar("T", covariant=True)

    class _Answered(Generic[T]):
        """The type of a call's answer, for the type checker only: `typing` costs 2 ms."""

    class SpecOptions(TypedDict, total=False):
        """The fields of MachineSpec that have defaults; a test compares the two."""

        name: str
        kernel: str
        cpus: int
        memory_mib: int
        disk_bytes: int
        init: Init | Literal[""]
        accel: Accel
        remove: bool
        cold: bool
        restart: str
        idle_pause_s: float
        cpu_limit: float
        memory_limit_bytes: int
        pids_limit: int
        io_limit_bytes: int
        iops_limit: int
        limits: Literal["strict", "best-effort"]
        boot_timeout_s: float

    class PullOptions(TypedDict, total=False):
        """The fields of PullRequest that have defaults, but for `force`."""

        platform: str
        insecure: bool
        size_bytes: int
        name: str

    class PublishOptions(TypedDict, total=False):
        """The fields of PublishRequest that have defaults."""

        entry: str
        catalog: str
        aliases: list[str]
        description: str
        provenance: str
        key_file: str
        password: str
        expires_s: float

    Source = Literal["console", "exec"]
    Facts = dict[str, Any]
else:

    class _Answered:
        def __class_getitem__(cls, _: object) -> type:
            return cls


# A call that only reads is answered within seconds; a daemon that is silent for so long hangs.
READ_TIMEOUT_S = 60.0


class Call(_Answered["T"]):
    """One request. `body` is JSON-ready data or structs, or a tar stream's pieces; `answer` names a
    type of `answers.TYPES`, "bytes" for a body that is passed on as it comes; `key`: it may be sent again."""

    __slots__ = ("answer", "body", "key", "method", "target")

    def __init__(self, method: str, target: str, answer: str, body: object = None, key: str = "") -> None:
        self.method = method
        self.target = target
        self.answer = answer
        self.body = body
        self.key = key

    @property
    def silence_s(self) -> float | None:
        """How long the daemon may be silent: None for ever, as where it works, waits or follows."""
        waits = self.method != "GET" or self.answer == "bytes" or self.target.endswith("/wait")
        return None if waits or "/catalog" in self.target else READ_TIMEOUT_S


class Pieces:
    """A body that is not JSON: bytes, sent in chunks as they come."""

    __slots__ = ("media", "pieces")

    def __init__(self, pieces: Iterable[bytes], media: str = "application/x-tar") -> None:
        self.pieces = pieces
        self.media = media


def system_info() -> Call[SystemInfo]:
    return Call("GET", "/v1/system", "SystemInfo")


def shutdown() -> Call[None]:
    """Stop the daemon; machines go on."""
    return Call("POST", "/v1/system/shutdown", "None")


def reconcile(dry_run: bool = False, remove: bool = False) -> Call[Reconciliation]:
    """Compare the store with the host; `remove` what no record leads to."""
    flags = {"dry_run": dry_run, "remove": remove}
    query = encode_query({name: "true" for name, on in flags.items() if on})
    return Call("POST", "/v1/system/reconcile" + query, "Reconciliation")


def read_events(
    since: str = "", machine: str = "", after: int | None = None, follow: bool = False
) -> Call[bytes]:
    """NDJSON: one Event a line. `since` is RFC 3339; `after` the number of an event; with `follow` it does not end,
    and without a beginning it begins now."""
    query = {"since": since, "machine": machine, "follow": "true" if follow else ""}
    query["after"] = "" if after is None else str(after)
    return Call("GET", "/v1/events" + encode_query({k: v for k, v in query.items() if v}), "bytes")


def list_operations() -> Call[list[Operation]]:
    return Call("GET", "/v1/operations", "list[Operation]")


def get_operation(operation_id: str) -> Call[Operation]:
    return Call("GET", f"/v1/operations/{quote(operation_id)}", "Operation")


def cancel_operation(operation_id: str) -> Call[Operation]:
    return Call("POST", f"/v1/operations/{quote(operation_id)}/cancel", "Operation")


def operation_events(operation_id: str) -> Call[bytes]:
    """NDJSON: one Progress a line, at last the ended Operation."""
    return Call("GET", f"/v1/operations/{quote(operation_id)}/events", "bytes")


def list_images() -> Call[list[Image]]:
    return Call("GET", "/v1/images", "list[Image]")


def get_image(name: str) -> Call[Image]:
    return Call("GET", f"/v1/images/{quote(name)}", "Image")


def delete_image(name: str) -> Call[None]:
    return Call("DELETE", f"/v1/images/{quote(name)}", "None")


def pull_image(ref: str, force: bool = False, **options: Unpack[PullOptions]) -> Call[Operation]:
    """`ref`: a name of the catalog, a registry reference, `oci:DIR`, `docker-archive:FILE`, `rootfs:DIR`..."""
    return Call("POST", "/v1/images/pull", "Operation", {"ref": ref, "force": force, **options})


def import_image(name: str, tar: Iterable[bytes], size_bytes: int = 0) -> Call[Image]:
    """An image of one tree, sent as a tar stream."""
    query = encode_query({"name": name, "size_bytes": str(size_bytes)})
    return Call("PUT", "/v1/images/import" + query, "Image", Pieces(tar))


def tag_image(name: str, new: str) -> Call[Image]:
    return Call("POST", "/v1/images/tag", "Image", {"name": name, "new": new})


def register_image(rootfs: str, name: str) -> Call[Image]:
    """A ready ext4 disk: a path that the daemon can read."""
    return Call("POST", "/v1/images/register", "Image", {"rootfs": rootfs, "name": name})


def export_image(name: str) -> Call[bytes]:
    """The bytes of the disk."""
    return Call("GET", "/v1/images/export" + encode_query({"name": name}), "bytes")


def prune_images(dry_run: bool = False) -> Call[Pruned]:
    return Call("POST", "/v1/images/prune" + _flags(dry_run=dry_run), "Pruned")


def prune_blobs(dry_run: bool = False) -> Call[Pruned]:
    return Call("POST", "/v1/images/cache/prune" + _flags(dry_run=dry_run), "Pruned")


def log_in(registry: str, username: str, password: str, insecure: bool = False) -> Call[Login]:
    body = {"registry": registry, "username": username, "password": password, "insecure": insecure}
    return Call("POST", "/v1/registries/login", "Login", body)


def log_out(registry: str) -> Call[Login]:
    return Call("POST", "/v1/registries/logout", "Login", {"registry": registry})


def disk_usage() -> Call[DiskUsage]:
    return Call("GET", "/v1/system/df", "DiskUsage")


def list_image_offers(search: str = "") -> Call[list[Offer]]:
    """What catalogs have: those in which all words of `search` occur."""
    return Call("GET", "/v1/images/catalog" + _search(search), "list[Offer]")


def list_kernel_offers(search: str = "") -> Call[list[Offer]]:
    return Call("GET", "/v1/kernels/catalog" + _search(search), "list[Offer]")


def list_catalogs() -> Call[list[Catalog]]:
    """In the order in which they are asked."""
    return Call("GET", "/v1/catalogs", "list[Catalog]")


def add_catalog(url: str, key: str, name: str = "") -> Call[Catalog]:
    """`key`: a minisign public key, or the text of the file that has it."""
    return Call("POST", "/v1/catalogs", "Catalog", {"url": url, "key": key, "name": name})


def refresh_catalogs(name: str = "") -> Call[list[Catalog]]:
    """All of them, or one, of which it is an error then if that is not possible."""
    query = encode_query({"name": name} if name else {})
    return Call("POST", "/v1/catalogs/refresh" + query, "list[Catalog]")


def remove_catalog(name: str) -> Call[None]:
    return Call("DELETE", f"/v1/catalogs/{quote(name)}", "None")


def publish(kind: str, name: str, directory: str, **options: Unpack[PublishOptions]) -> Call[Operation]:
    """`kind`: "image" or "kernel"; `directory`: of the catalog, a path that the daemon can write to."""
    body = {"kind": kind, "name": name, "directory": directory, **options}
    return Call("POST", "/v1/catalogs/publish", "Operation", body)


def verify_catalog(directory: str, key: str) -> Call[Operation]:
    return Call("POST", "/v1/catalogs/verify", "Operation", {"directory": directory, "key": key})


def list_kernels() -> Call[list[Kernel]]:
    return Call("GET", "/v1/kernels", "list[Kernel]")


def get_kernel(name: str) -> Call[Kernel]:
    return Call("GET", f"/v1/kernels/{quote(name)}", "Kernel")


def delete_kernel(name: str) -> Call[None]:
    return Call("DELETE", f"/v1/kernels/{quote(name)}", "None")


def pull_kernel(ref: str, force: bool = False, platform: str = "") -> Call[Operation]:
    body = {"ref": ref, "force": force, "platform": platform}
    return Call("POST", "/v1/kernels/pull", "Operation", body)


def list_machines() -> Call[list[Machine]]:
    return Call("GET", "/v1/machines", "list[Machine]")


def create_machine(
    image: str, command: Command | None = None, *, idempotency_key: str = "", **options: Unpack[SpecOptions]
) -> Call[Machine]:
    """Make a machine without starting it; with the same key for a day the same one."""
    return create_machine_of({"image": image, "command": command, **options}, idempotency_key)


def create_machine_of(spec: Facts, idempotency_key: str = "") -> Call[Machine]:
    """As `create_machine`, of a MachineSpec that is JSON-ready already."""
    return Call("POST", "/v1/machines", "Machine", spec, idempotency_key)


def get_machine(name: str) -> Call[Machine]:
    return Call("GET", _machine(name), "Machine")


def delete_machine(name: str, force: bool = False) -> Call[None]:
    """Without `force` a running one is `bad_state`."""
    return Call("DELETE", _machine(name) + _flags(force=force), "None")


def start_machine(name: str) -> Call[Operation]:
    return Call("POST", _machine(name, "start"), "Operation")


def stop_machine(name: str, grace_s: float | None = None) -> Call[Operation]:
    return Call("POST", _machine(name, "stop"), "Operation", _stop_body(grace_s))


def restart_machine(name: str, grace_s: float | None = None) -> Call[Operation]:
    return Call("POST", _machine(name, "restart"), "Operation", _stop_body(grace_s))


def kill_machine(name: str, signal: int | None = None) -> Call[None]:
    """With `signal` the main command gets it; without, the VMM is killed."""
    query = {} if signal is None else {"signal": str(signal)}
    return Call("POST", _machine(name, "kill", query), "None")


def pause_machine(name: str) -> Call[Machine]:
    return Call("POST", _machine(name, "pause"), "Machine")


def resume_machine(name: str) -> Call[Machine]:
    return Call("POST", _machine(name, "resume"), "Machine")


def snapshot_machine(name: str, tag: str) -> Call[Operation]:
    """Keep it as it is now, under `tag`; it goes on."""
    return Call("POST", _machine(name, "snapshot"), "Operation", {"tag": tag})


def restore_machine(name: str, tag: str) -> Call[Operation]:
    """Back to what it was; one that is gone is made anew."""
    return Call("POST", _machine(name, "restore"), "Operation", {"tag": tag})


def fork_machine(name: str, count: int = 1, children: str = "") -> Call[Operation]:
    """Running copies of a running machine, called `children`-1, `children`-2..."""
    return Call("POST", _machine(name, "fork"), "Operation", {"count": count, "name": children})


def commit_machine(name: str, image: str) -> Call[Operation]:
    """An image of a machine's disk."""
    return Call("POST", _machine(name, "commit"), "Operation", {"image": image})


def wait_machine(name: str) -> Call[Machine]:
    """Answered when the machine has stopped."""
    return Call("GET", _machine(name, "wait"), "Machine")


def machine_health(name: str) -> Call[Health]:
    return Call("GET", _machine(name, "health"), "Health")


def ping_machine(name: str, count: int = 1) -> Call[Ping]:
    return Call("GET", _machine(name, "ping", {"count": str(count)}), "Ping")


def machine_stats(name: str) -> Call[Stats]:
    return Call("GET", _machine(name, "stats"), "Stats")


def machine_ports(name: str) -> Call[list[GuestPort]]:
    return Call("GET", _machine(name, "ports"), "list[GuestPort]")


def machine_logs(
    name: str,
    source: Source = "console",
    tail: int | None = None,
    follow: bool = False,
    exec_id: int | None = None,
) -> Call[bytes]:
    """`tail` is in lines; `follow` goes on until the machine stops. With `source` "exec" and no `exec_id`: of the main
    command."""
    query: dict[str, str] = {"source": source}
    if tail is not None:
        query["tail"] = str(tail)
    if follow:
        query["follow"] = "true"
    if exec_id is not None:
        query["exec"] = str(exec_id)
    return Call("GET", _machine(name, "logs", query), "bytes")


def list_execs(name: str) -> Call[list[Exec]]:
    return Call("GET", _machine(name, "execs"), "list[Exec]")


def get_exec(name: str, exec_id: int) -> Call[Exec]:
    return Call("GET", _machine(name, f"execs/{exec_id}"), "Exec")


def signal_exec(name: str, exec_id: int, signal: int) -> Call[None]:
    """The command's process alone gets it."""
    return Call("POST", _machine(name, f"execs/{exec_id}/kill", {"signal": str(signal)}), "None")


def wait_exec(name: str, exec_id: int) -> Call[Exit]:
    """Answered when the command has ended."""
    return Call("GET", _machine(name, f"execs/{exec_id}/wait"), "Exit")


def exec_detached(name: str, command: Command) -> Call[Exec]:
    return exec_detached_of(name, {"command": command})


def exec_detached_of(name: str, request: Facts) -> Call[Exec]:
    """As `exec_detached`, of an ExecRequest that is JSON-ready already."""
    return Call("POST", _machine(name, "execs"), "Exec", request)


def get_files(name: str, path: str, follow: bool = False) -> Call[bytes]:
    """A tar stream of the file or tree at `path`; with `follow` of what it leads to, where it is a link."""
    query = {"path": path, "follow": "true"} if follow else {"path": path}
    return Call("GET", _machine(name, "files", query), "bytes")


def put_files(name: str, path: str, tar: Iterable[bytes]) -> Call[None]:
    """Extract a tar stream below the directory `path`."""
    return Call("PUT", _machine(name, "files", {"path": path}), "None", Pieces(tar))


def stat_file(name: str, path: str) -> Call[FileStat]:
    return Call("GET", _machine(name, "files/stat", {"path": path}), "FileStat")


def list_templates() -> Call[list[Template]]:
    return Call("GET", "/v1/templates", "list[Template]")


def get_template(template_id: str) -> Call[Template]:
    """Four characters of the id do, if no other begins with them."""
    return Call("GET", f"/v1/templates/{quote(template_id)}", "Template")


def delete_template(template_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/templates/{quote(template_id)}", "None")


def prune_templates(everything: bool = False, dry_run: bool = False) -> Call[Pruned]:
    """Those whose inputs changed or that nobody used for 30 days, or all."""
    return Call("POST", "/v1/templates/prune" + _flags(all=everything, dry_run=dry_run), "Pruned")


def list_snapshots(machine: str = "") -> Call[list[Snapshot]]:
    """Of all machines, or of one."""
    query = encode_query({"machine": machine} if machine else {})
    return Call("GET", "/v1/snapshots" + query, "list[Snapshot]")


def get_snapshot(machine: str, tag: str) -> Call[Snapshot]:
    return Call("GET", _snapshot(machine, tag), "Snapshot")


def delete_snapshot(machine: str, tag: str) -> Call[None]:
    return Call("DELETE", _snapshot(machine, tag), "None")


def export_snapshot(machine: str, tag: str) -> Call[bytes]:
    """One file that another host of the same kind can import."""
    return Call("GET", _snapshot(machine, tag) + "/export", "bytes")


def import_snapshot(file: Iterable[bytes], machine: str = "", tag: str = "") -> Call[Snapshot]:
    """What an export wrote. `machine` and `tag`: other names than those it has."""
    names = {"machine": machine, "tag": tag}
    query = encode_query({field: name for field, name in names.items() if name})
    return Call("PUT", "/v1/snapshots/import" + query, "Snapshot", Pieces(file, "application/zstd"))


def exec_target(name: str) -> str:
    """The path of an exec's stream."""
    return _machine(name, "exec")


def attach_target(name: str) -> str:
    """The path of the stream of a command that runs already: the main one, if the first message names no other."""
    return _machine(name, "attach")


RUN_TARGET = "/v1/run"


def _machine(name: str, verb: str = "", query: dict[str, str] | None = None) -> str:
    path = f"/v1/machines/{quote(name)}"
    return (f"{path}/{verb}" if verb else path) + encode_query(query or {})


def _snapshot(machine: str, tag: str) -> str:
    return f"/v1/snapshots/{quote(machine)}/{quote(tag)}"


def _search(words: str) -> str:
    return encode_query({"search": words} if words else {})


def _flags(**flags: bool) -> str:
    """The query with those that are set."""
    return encode_query({name: "true" for name, is_set in flags.items() if is_set})


def _stop_body(grace_s: float | None) -> Facts | None:
    return None if grace_s is None else {"grace_s": grace_s}
