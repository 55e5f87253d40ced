"""Every call of the API as a function: what to send, and the type of the answer.

Written by `python -m banger.api.generate` from the API's table; not by hand.
"""
# fmt: off

from __future__ import annotations

from collections.abc import Iterable

from banger.client.call import Call, Pieces, chosen
from banger.client.http1 import encode_query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypedDict

    from banger.client.call import Facts
    from banger.model.access import Caller, Doorway, NewToken, Token
    from banger.model.catalog import Catalog, Offer, Published, Verified
    from banger.model.command import Command, Exec, Exit
    from banger.model.doctor import Diagnosis
    from banger.model.healthcheck import HealthCheck
    from banger.model.image import Image, Kernel, Login, Pruned, Pushed
    from banger.model.machine import Machine
    from banger.model.mount import Mount
    from banger.model.network import Membership, Network
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

    class SpecOptions(TypedDict, total=False):
        """The fields of MachineSpec that have defaults."""

        name: str
        kernel: str
        cpus: int
        memory_mib: int
        disk_bytes: int
        init: Literal["agent", "image", "entrypoint"] | Literal[""]
        accel: Literal["auto", "kvm", "tcg"]
        driver: str
        remove: bool
        ttl_s: float
        cold: bool
        restart: str
        idle_pause_s: float
        cpu_limit: float
        memory_limit_bytes: int
        pids_limit: int
        io_limit_bytes: int
        iops_limit: int
        limits: Literal["strict", "best-effort"]
        network: Literal["none", "internet", "lan", "host"] | Literal[""]
        networks: list[Membership | Facts]
        allow: list[str]
        deny: list[str]
        dns: list[str]
        hosts: list[str]
        hostname: str
        ports: list[str]
        publish_all: bool
        mounts: list[Mount | Facts]
        read_only: bool
        tmpfs: list[str]
        ulimits: list[str]
        labels: dict[str, str]
        healthcheck: HealthCheck | Facts | None
        stop_signal: str
        aslr: Literal["auto", "on", "off"]
        stop_grace_s: float | None
        confine: Literal["strict", "best-effort"]
        boot_timeout_s: float


def machines_list() -> Call[list[Machine]]:
    """All machines."""
    return Call("GET", "/v1/machines", "list[Machine]")


def machines_create(
    image: str,
    *,
    name: str = "",
    kernel: str = "",
    cpus: int = 1,
    memory_mib: int = 512,
    disk_bytes: int = 4294967296,
    init: Literal["agent", "image", "entrypoint"] | Literal[""] = "",
    accel: Literal["auto", "kvm", "tcg"] = "auto",
    driver: str = "",
    remove: bool = False,
    ttl_s: float = 0,
    cold: bool = False,
    restart: str = "no",
    idle_pause_s: float = 0,
    cpu_limit: float = 0,
    memory_limit_bytes: int = 0,
    pids_limit: int = 0,
    io_limit_bytes: int = 0,
    iops_limit: int = 0,
    limits: Literal["strict", "best-effort"] = "strict",
    network: Literal["none", "internet", "lan", "host"] | Literal[""] = "",
    networks: list[Membership | Facts] | None = None,
    allow: list[str] | None = None,
    deny: list[str] | None = None,
    dns: list[str] | None = None,
    hosts: list[str] | None = None,
    hostname: str = "",
    ports: list[str] | None = None,
    publish_all: bool = False,
    mounts: list[Mount | Facts] | None = None,
    read_only: bool = False,
    tmpfs: list[str] | None = None,
    ulimits: list[str] | None = None,
    labels: dict[str, str] | None = None,
    healthcheck: HealthCheck | Facts | None = None,
    stop_signal: str = "",
    aslr: Literal["auto", "on", "off"] = "auto",
    stop_grace_s: float | None = None,
    confine: Literal["strict", "best-effort"] = "best-effort",
    boot_timeout_s: float = 60,
    command: Command | Facts | None = None,
    idempotency_key: str | None = None,
) -> Call[Machine]:
    """Create a machine; the machine is not started."""
    body = chosen(
        ("image", image),
        ("name", name, ""),
        ("kernel", kernel, ""),
        ("cpus", cpus, 1),
        ("memory_mib", memory_mib, 512),
        ("disk_bytes", disk_bytes, 4294967296),
        ("init", init, ""),
        ("accel", accel, "auto"),
        ("driver", driver, ""),
        ("remove", remove, False),
        ("ttl_s", ttl_s, 0),
        ("cold", cold, False),
        ("restart", restart, "no"),
        ("idle_pause_s", idle_pause_s, 0),
        ("cpu_limit", cpu_limit, 0),
        ("memory_limit_bytes", memory_limit_bytes, 0),
        ("pids_limit", pids_limit, 0),
        ("io_limit_bytes", io_limit_bytes, 0),
        ("iops_limit", iops_limit, 0),
        ("limits", limits, "strict"),
        ("network", network, ""),
        ("networks", networks, None),
        ("allow", allow, None),
        ("deny", deny, None),
        ("dns", dns, None),
        ("hosts", hosts, None),
        ("hostname", hostname, ""),
        ("ports", ports, None),
        ("publish_all", publish_all, False),
        ("mounts", mounts, None),
        ("read_only", read_only, False),
        ("tmpfs", tmpfs, None),
        ("ulimits", ulimits, None),
        ("labels", labels, None),
        ("healthcheck", healthcheck, None),
        ("stop_signal", stop_signal, ""),
        ("aslr", aslr, "auto"),
        ("stop_grace_s", stop_grace_s, None),
        ("confine", confine, "best-effort"),
        ("boot_timeout_s", boot_timeout_s, 60),
        ("command", command, None),
    )
    return Call("POST", "/v1/machines", "Machine", body, key=idempotency_key)


def machines_get(machine: str) -> Call[Machine]:
    """One machine, by name or id."""
    return Call("GET", f"/v1/machines/{quote(machine)}", "Machine")


def machines_delete(machine: str, force: bool = False) -> Call[None]:
    """Delete a machine and everything that belongs to it."""
    query = chosen(("force", force, False))
    return Call("DELETE", f"/v1/machines/{quote(machine)}" + encode_query(query), "None")


def machines_start(machine: str) -> Call[Operation[Machine]]:
    """Boot a machine."""
    return Call("POST", f"/v1/machines/{quote(machine)}/start", "Operation[Machine]")


def machines_stop(machine: str, grace_s: float | None = None) -> Call[Operation[Machine]]:
    """Shut a machine down, and kill it if that fails."""
    body = chosen(("grace_s", grace_s, None))
    return Call("POST", f"/v1/machines/{quote(machine)}/stop", "Operation[Machine]", body or None)


def machines_restart(machine: str, grace_s: float | None = None) -> Call[Operation[Machine]]:
    """Stop a machine if it runs, then start it."""
    body = chosen(("grace_s", grace_s, None))
    return Call("POST", f"/v1/machines/{quote(machine)}/restart", "Operation[Machine]", body or None)


def machines_kill(machine: str, signal: int | None = None) -> Call[None]:
    """Kill the VMM at once, or send a signal to the main command."""
    query = chosen(("signal", signal, None))
    return Call("POST", f"/v1/machines/{quote(machine)}/kill" + encode_query(query), "None")


def machines_pause(machine: str) -> Call[Machine]:
    """Stop the vCPUs of a machine."""
    return Call("POST", f"/v1/machines/{quote(machine)}/pause", "Machine")


def machines_resume(machine: str) -> Call[Machine]:
    """Let the vCPUs of a machine continue."""
    return Call("POST", f"/v1/machines/{quote(machine)}/resume", "Machine")


def machines_snapshot(machine: str, tag: str) -> Call[Operation[Snapshot]]:
    """Save memory and disk of a machine; the machine keeps running."""
    body = chosen(("tag", tag))
    return Call("POST", f"/v1/machines/{quote(machine)}/snapshot", "Operation[Snapshot]", body)


def machines_restore(machine: str, tag: str) -> Call[Operation[Machine]]:
    """Set a machine back to a snapshot; a deleted machine is made again."""
    body = chosen(("tag", tag))
    return Call("POST", f"/v1/machines/{quote(machine)}/restore", "Operation[Machine]", body)


def machines_fork(machine: str, count: int = 1, name: str = "") -> Call[Operation[list[Machine]]]:
    """Make running copies of a running machine."""
    body = chosen(("count", count, 1), ("name", name, ""))
    return Call("POST", f"/v1/machines/{quote(machine)}/fork", "Operation[list[Machine]]", body or None)


def machines_commit(machine: str, image: str) -> Call[Operation[Image]]:
    """Make an image of a machine's disk."""
    body = chosen(("image", image))
    return Call("POST", f"/v1/machines/{quote(machine)}/commit", "Operation[Image]", body)


def machines_diff(machine: str) -> Call[bytes]:
    """What changed on a machine's disk since it was made from its image."""
    return Call("GET", f"/v1/machines/{quote(machine)}/diff", "bytes")


def machines_wait(machine: str) -> Call[Machine]:
    """Wait until a machine no longer runs."""
    return Call("GET", f"/v1/machines/{quote(machine)}/wait", "Machine")


def machines_health(machine: str) -> Call[Health]:
    """Agent, init, clock and VMM of a machine, each on its own."""
    return Call("GET", f"/v1/machines/{quote(machine)}/health", "Health")


def machines_ping(machine: str, count: int = 1) -> Call[Ping]:
    """Round trips to the agent, measured in the daemon."""
    query = chosen(("count", count, 1))
    return Call("GET", f"/v1/machines/{quote(machine)}/ping" + encode_query(query), "Ping")


def machines_stats(machine: str) -> Call[Stats]:
    """CPU, memory, disk and network of guest and VMM."""
    return Call("GET", f"/v1/machines/{quote(machine)}/stats", "Stats")


def machines_ports(machine: str) -> Call[list[GuestPort]]:
    """Listening sockets of the guest."""
    return Call("GET", f"/v1/machines/{quote(machine)}/ports", "list[GuestPort]")


def machines_change_network(
    machine: str,
    network: Literal["none", "internet", "lan", "host"] | Literal[""] = "",
    allow: list[str] | None = None,
    deny: list[str] | None = None,
    clear: bool = False,
) -> Call[Machine]:
    """Change what a machine may reach."""
    body = chosen(
        ("network", network, ""),
        ("allow", allow, None),
        ("deny", deny, None),
        ("clear", clear, False),
    )
    return Call("POST", f"/v1/machines/{quote(machine)}/network", "Machine", body or None)


def machines_change_expiry(machine: str, ttl_s: float) -> Call[Machine]:
    """Change when a machine is deleted by itself."""
    body = chosen(("ttl_s", ttl_s))
    return Call("POST", f"/v1/machines/{quote(machine)}/expiry", "Machine", body)


def machines_publish(machine: str, port: str) -> Call[Machine]:
    """Let a port of the host lead to a port of a machine."""
    body = chosen(("port", port))
    return Call("POST", f"/v1/machines/{quote(machine)}/published", "Machine", body)


def machines_unpublish(machine: str, port: str) -> Call[Machine]:
    """Close a published port of a machine."""
    query = chosen(("port", port))
    return Call("DELETE", f"/v1/machines/{quote(machine)}/published" + encode_query(query), "Machine")


def machines_logs(
    machine: str,
    *,
    source: Literal["console", "exec"] = "console",
    tail: int | None = None,
    follow: bool = False,
    exec: int | None = None,
    timestamps: bool = False,
    since: str = "",
    until: str = "",
) -> Call[bytes]:
    """The console, or the output of a command."""
    query = chosen(
        ("source", source, "console"),
        ("tail", tail, None),
        ("follow", follow, False),
        ("exec", exec, None),
        ("timestamps", timestamps, False),
        ("since", since, ""),
        ("until", until, ""),
    )
    return Call("GET", f"/v1/machines/{quote(machine)}/logs" + encode_query(query), "bytes")


def machines_execs(machine: str) -> Call[list[Exec]]:
    """Commands that run in a machine, and the last ones that ended."""
    return Call("GET", f"/v1/machines/{quote(machine)}/execs", "list[Exec]")


def machines_exec_detached(machine: str, command: Command | Facts | None = None) -> Call[Exec]:
    """Start a command without attaching to it."""
    body = chosen(("command", command, None))
    return Call("POST", f"/v1/machines/{quote(machine)}/execs", "Exec", body or None)


def machines_get_exec(machine: str, id: int) -> Call[Exec]:
    """One command."""
    return Call("GET", f"/v1/machines/{quote(machine)}/execs/{quote(id)}", "Exec")


def machines_signal_exec(machine: str, id: int, signal: int = 9) -> Call[None]:
    """Send a signal to a command."""
    query = chosen(("signal", signal, 9))
    return Call("POST", f"/v1/machines/{quote(machine)}/execs/{quote(id)}/kill" + encode_query(query), "None")


def machines_wait_exec(machine: str, id: int) -> Call[Exit]:
    """Wait until a command has ended."""
    return Call("GET", f"/v1/machines/{quote(machine)}/execs/{quote(id)}/wait", "Exit")


def machines_get_files(machine: str, path: str, follow: bool = False) -> Call[bytes]:
    """A file or tree of the guest, as tar."""
    query = chosen(("path", path), ("follow", follow, False))
    return Call("GET", f"/v1/machines/{quote(machine)}/files" + encode_query(query), "bytes")


def machines_put_files(machine: str, path: str, stream: Iterable[bytes]) -> Call[None]:
    """Extract a tar stream below a directory of the guest."""
    query = chosen(("path", path))
    return Call(
        "PUT",
        f"/v1/machines/{quote(machine)}/files" + encode_query(query),
        "None",
        Pieces(stream, "application/x-tar"),
    )


def machines_stat_file(machine: str, path: str) -> Call[FileStat]:
    """Type, mode, owner, size and time of a path of the guest."""
    query = chosen(("path", path))
    return Call("GET", f"/v1/machines/{quote(machine)}/files/stat" + encode_query(query), "FileStat")


def machines_rename(machine: str, name: str) -> Call[Machine]:
    """Give a machine another name."""
    body = chosen(("name", name))
    return Call("POST", f"/v1/machines/{quote(machine)}/rename", "Machine", body)


def machines_update(
    machine: str,
    *,
    cpu_limit: float | None = None,
    memory_limit_bytes: int | None = None,
    pids_limit: int | None = None,
    io_limit_bytes: int | None = None,
    iops_limit: int | None = None,
    restart: str | None = None,
    ttl_s: float | None = None,
    cpus: int | None = None,
    memory_mib: int | None = None,
    disk_bytes: int | None = None,
    labels: dict[str, str] | None = None,
    remove_labels: list[str] | None = None,
) -> Call[Machine]:
    """Change limits, restart policy, size, time to live or labels of a machine."""
    body = chosen(
        ("cpu_limit", cpu_limit, None),
        ("memory_limit_bytes", memory_limit_bytes, None),
        ("pids_limit", pids_limit, None),
        ("io_limit_bytes", io_limit_bytes, None),
        ("iops_limit", iops_limit, None),
        ("restart", restart, None),
        ("ttl_s", ttl_s, None),
        ("cpus", cpus, None),
        ("memory_mib", memory_mib, None),
        ("disk_bytes", disk_bytes, None),
        ("labels", labels, None),
        ("remove_labels", remove_labels, None),
    )
    return Call("POST", f"/v1/machines/{quote(machine)}/update", "Machine", body or None)


def machines_reset(machine: str, force: bool = False) -> Call[Operation[Machine]]:
    """Throw away all that changed on a machine's disk."""
    body = chosen(("force", force, False))
    return Call("POST", f"/v1/machines/{quote(machine)}/reset", "Operation[Machine]", body or None)


def images_list() -> Call[list[Image]]:
    """All images."""
    return Call("GET", "/v1/images", "list[Image]")


def images_pull(
    ref: str,
    *,
    force: bool = False,
    platform: str = "",
    insecure: bool = False,
    size_bytes: int = 0,
    name: str = "",
) -> Call[Operation[Image]]:
    """Build or fetch an image."""
    body = chosen(
        ("ref", ref),
        ("force", force, False),
        ("platform", platform, ""),
        ("insecure", insecure, False),
        ("size_bytes", size_bytes, 0),
        ("name", name, ""),
    )
    return Call("POST", "/v1/images/pull", "Operation[Image]", body)


def images_push(name: str, ref: str = "", insecure: bool = False) -> Call[Operation[Pushed]]:
    """Send an image to a registry."""
    body = chosen(("name", name), ("ref", ref, ""), ("insecure", insecure, False))
    return Call("POST", "/v1/images/push", "Operation[Pushed]", body)


def images_save(name: str, also: list[str] | None = None) -> Call[bytes]:
    """Images as an archive that other tools load."""
    query = chosen(("name", name), ("also", also, None))
    return Call("GET", "/v1/images/save" + encode_query(query), "bytes")


def images_import_tar(name: str, stream: Iterable[bytes], size_bytes: int = 0) -> Call[Image]:
    """Make an image of a tar stream of one tree."""
    query = chosen(("name", name), ("size_bytes", size_bytes, 0))
    return Call(
        "PUT",
        "/v1/images/import" + encode_query(query),
        "Image",
        Pieces(stream, "application/x-tar"),
    )


def images_tag(name: str, new: str) -> Call[Image]:
    """Give an image another name."""
    body = chosen(("name", name), ("new", new))
    return Call("POST", "/v1/images/tag", "Image", body)


def images_register(rootfs: str, name: str) -> Call[Image]:
    """Make an image of an existing ext4 disk."""
    body = chosen(("rootfs", rootfs), ("name", name))
    return Call("POST", "/v1/images/register", "Image", body)


def images_export(name: str) -> Call[bytes]:
    """The disk of an image, as it is."""
    query = chosen(("name", name))
    return Call("GET", "/v1/images/export" + encode_query(query), "bytes")


def images_prune(dry_run: bool = False) -> Call[Pruned]:
    """Remove disks that no name and no machine uses."""
    query = chosen(("dry_run", dry_run, False))
    return Call("POST", "/v1/images/prune" + encode_query(query), "Pruned")


def images_prune_blobs(dry_run: bool = False) -> Call[Pruned]:
    """Remove the compressed layers of registries."""
    query = chosen(("dry_run", dry_run, False))
    return Call("POST", "/v1/images/cache/prune" + encode_query(query), "Pruned")


def images_offers(search: str = "") -> Call[list[Offer]]:
    """What catalogs offer."""
    query = chosen(("search", search, ""))
    return Call("GET", "/v1/images/catalog" + encode_query(query), "list[Offer]")


def images_get(name: str) -> Call[Image]:
    """One image."""
    return Call("GET", f"/v1/images/{quote(name)}", "Image")


def images_delete(name: str) -> Call[None]:
    """Delete an image that no machine uses."""
    return Call("DELETE", f"/v1/images/{quote(name)}", "None")


def images_log_in(registry: str, username: str, password: str, insecure: bool = False) -> Call[Login]:
    """Check a password and keep it for later pulls."""
    body = chosen(
        ("registry", registry),
        ("username", username),
        ("password", password),
        ("insecure", insecure, False),
    )
    return Call("POST", "/v1/registries/login", "Login", body)


def images_log_out(registry: str) -> Call[Login]:
    """Forget a registry's password."""
    body = chosen(("registry", registry))
    return Call("POST", "/v1/registries/logout", "Login", body)


def kernels_list() -> Call[list[Kernel]]:
    """All kernels."""
    return Call("GET", "/v1/kernels", "list[Kernel]")


def kernels_pull(ref: str, force: bool = False, platform: str = "") -> Call[Operation[Kernel]]:
    """Fetch a kernel."""
    body = chosen(("ref", ref), ("force", force, False), ("platform", platform, ""))
    return Call("POST", "/v1/kernels/pull", "Operation[Kernel]", body)


def kernels_offers(search: str = "") -> Call[list[Offer]]:
    """What catalogs offer."""
    query = chosen(("search", search, ""))
    return Call("GET", "/v1/kernels/catalog" + encode_query(query), "list[Offer]")


def kernels_get(name: str) -> Call[Kernel]:
    """One kernel."""
    return Call("GET", f"/v1/kernels/{quote(name)}", "Kernel")


def kernels_delete(name: str) -> Call[None]:
    """Delete a kernel that no machine uses."""
    return Call("DELETE", f"/v1/kernels/{quote(name)}", "None")


def catalogs_list() -> Call[list[Catalog]]:
    """All catalogs, in the order in which banger searches them."""
    return Call("GET", "/v1/catalogs", "list[Catalog]")


def catalogs_add(url: str, key: str, name: str = "") -> Call[Catalog]:
    """Add a catalog, and pin its key."""
    body = chosen(("url", url), ("key", key), ("name", name, ""))
    return Call("POST", "/v1/catalogs", "Catalog", body)


def catalogs_refresh(name: str = "") -> Call[list[Catalog]]:
    """Fetch the indexes of all catalogs, or of one."""
    query = chosen(("name", name, ""))
    return Call("POST", "/v1/catalogs/refresh" + encode_query(query), "list[Catalog]")


def catalogs_publish(
    kind: Literal["image", "kernel"],
    name: str,
    directory: str,
    *,
    entry: str = "",
    catalog: str = "",
    aliases: list[str] | None = None,
    description: str = "",
    provenance: str = "",
    key_file: str = "",
    password: str = "",
    expires_s: float = 2592000,
) -> Call[Operation[Published]]:
    """Put an image or kernel into a catalog's directory."""
    body = chosen(
        ("kind", kind),
        ("name", name),
        ("directory", directory),
        ("entry", entry, ""),
        ("catalog", catalog, ""),
        ("aliases", aliases, None),
        ("description", description, ""),
        ("provenance", provenance, ""),
        ("key_file", key_file, ""),
        ("password", password, ""),
        ("expires_s", expires_s, 2592000),
    )
    return Call("POST", "/v1/catalogs/publish", "Operation[Published]", body)


def catalogs_verify(directory: str, key: str) -> Call[Operation[Verified]]:
    """Check a catalog's directory."""
    body = chosen(("directory", directory), ("key", key))
    return Call("POST", "/v1/catalogs/verify", "Operation[Verified]", body)


def catalogs_remove(name: str) -> Call[None]:
    """Remove a catalog; images and kernels pulled from it stay."""
    return Call("DELETE", f"/v1/catalogs/{quote(name)}", "None")


def templates_list() -> Call[list[Template]]:
    """All templates."""
    return Call("GET", "/v1/templates", "list[Template]")


def templates_prune(all: bool = False, dry_run: bool = False) -> Call[Pruned]:
    """Remove templates that are stale, or unused for 30 days."""
    query = chosen(("all", all, False), ("dry_run", dry_run, False))
    return Call("POST", "/v1/templates/prune" + encode_query(query), "Pruned")


def templates_get(id: str) -> Call[Template]:
    """One template, by the beginning of its id."""
    return Call("GET", f"/v1/templates/{quote(id)}", "Template")


def templates_delete(id: str) -> Call[None]:
    """Delete a template."""
    return Call("DELETE", f"/v1/templates/{quote(id)}", "None")


def snapshots_list(machine: str = "") -> Call[list[Snapshot]]:
    """All snapshots, or those of one machine."""
    query = chosen(("machine", machine, ""))
    return Call("GET", "/v1/snapshots" + encode_query(query), "list[Snapshot]")


def snapshots_import_file(stream: Iterable[bytes], machine: str = "", tag: str = "") -> Call[Snapshot]:
    """Import an exported snapshot."""
    query = chosen(("machine", machine, ""), ("tag", tag, ""))
    return Call(
        "PUT",
        "/v1/snapshots/import" + encode_query(query),
        "Snapshot",
        Pieces(stream, "application/zstd"),
    )


def snapshots_get(machine: str, tag: str) -> Call[Snapshot]:
    """One snapshot."""
    return Call("GET", f"/v1/snapshots/{quote(machine)}/{quote(tag)}", "Snapshot")


def snapshots_delete(machine: str, tag: str) -> Call[None]:
    """Delete a snapshot."""
    return Call("DELETE", f"/v1/snapshots/{quote(machine)}/{quote(tag)}", "None")


def snapshots_export(machine: str, tag: str) -> Call[bytes]:
    """A snapshot as one file, for an import on this host or on another."""
    return Call("GET", f"/v1/snapshots/{quote(machine)}/{quote(tag)}/export", "bytes")


def networks_list() -> Call[list[Network]]:
    """All named networks, with their members."""
    return Call("GET", "/v1/networks", "list[Network]")


def networks_prune(dry_run: bool = False) -> Call[list[Network]]:
    """Delete the networks that have no members."""
    query = chosen(("dry_run", dry_run, False))
    return Call("POST", "/v1/networks/prune" + encode_query(query), "list[Network]")


def networks_create(name: str, internal: bool = False, labels: dict[str, str] | None = None) -> Call[Network]:
    """Create a named network."""
    body = chosen(("name", name), ("internal", internal, False), ("labels", labels, None))
    return Call("POST", "/v1/networks", "Network", body)


def networks_get(network: str) -> Call[Network]:
    """One named network."""
    return Call("GET", f"/v1/networks/{quote(network)}", "Network")


def networks_delete(network: str) -> Call[None]:
    """Delete a network that has no members."""
    return Call("DELETE", f"/v1/networks/{quote(network)}", "None")


def networks_connect(network: str, machine: str, aliases: list[str] | None = None) -> Call[Network]:
    """Put a machine on a network, also while it runs."""
    body = chosen(("aliases", aliases, None))
    return Call("PUT", f"/v1/networks/{quote(network)}/machines/{quote(machine)}", "Network", body or None)


def networks_disconnect(network: str, machine: str) -> Call[None]:
    """Take a machine off a network, also while it runs."""
    return Call("DELETE", f"/v1/networks/{quote(network)}/machines/{quote(machine)}", "None")


def system_info() -> Call[SystemInfo]:
    """Versions, directories, accelerators and drivers."""
    return Call("GET", "/v1/system", "SystemInfo")


def system_shutdown() -> Call[None]:
    """Stop the daemon; machines keep running."""
    return Call("POST", "/v1/system/shutdown", "None")


def system_disk_usage() -> Call[DiskUsage]:
    """What uses disk space."""
    return Call("GET", "/v1/system/df", "DiskUsage")


def system_examine() -> Call[Diagnosis]:
    """What the doctor finds on this host; nothing is changed."""
    return Call("GET", "/v1/system/doctor", "Diagnosis")


def system_reconcile(dry_run: bool = False, remove: bool = False) -> Call[Reconciliation]:
    """Compare the records with the host, and correct them."""
    query = chosen(("dry_run", dry_run, False), ("remove", remove, False))
    return Call("POST", "/v1/system/reconcile" + encode_query(query), "Reconciliation")


def system_events(
    since: str = "",
    machine: str = "",
    after: int | None = None,
    follow: bool = False,
) -> Call[bytes]:
    """Events, one per line."""
    query = chosen(
        ("since", since, ""),
        ("machine", machine, ""),
        ("after", after, None),
        ("follow", follow, False),
    )
    return Call("GET", "/v1/events" + encode_query(query), "bytes")


def operations_list() -> Call[list[Operation[Any]]]:
    """All operations that the daemon still knows."""
    return Call("GET", "/v1/operations", "list[Operation[Any]]")


def operations_get(id: str) -> Call[Operation[Any]]:
    """One operation."""
    return Call("GET", f"/v1/operations/{quote(id)}", "Operation[Any]")


def operations_events(id: str) -> Call[bytes]:
    """The progress of an operation, one step per line, and the ended operation last."""
    return Call("GET", f"/v1/operations/{quote(id)}/events", "bytes")


def operations_cancel(id: str) -> Call[Operation[Any]]:
    """Cancel an operation, and wait until it has cleaned up."""
    return Call("POST", f"/v1/operations/{quote(id)}/cancel", "Operation[Any]")


def access_whoami() -> Call[Caller]:
    """Who the daemon takes you for, and what you may do."""
    return Call("GET", "/v1/session", "Caller")


def access_open(port: int | None = None) -> Call[Doorway]:
    """Listen on the loopback for browsers, and make a log-in link."""
    body = chosen(("port", port, None))
    return Call("POST", "/v1/ui", "Doorway", body or None)


def access_close() -> Call[None]:
    """Stop listening for browsers, and end their sessions."""
    return Call("DELETE", "/v1/ui", "None")


def tokens_list() -> Call[list[Token]]:
    """All tokens, without their secrets."""
    return Call("GET", "/v1/tokens", "list[Token]")


def tokens_create(
    name: str,
    rights: Literal["read", "write"] = "write",
    lasts_s: float | None = None,
) -> Call[NewToken]:
    """Make a token; no later answer has its secret."""
    body = chosen(("name", name), ("rights", rights, "write"), ("lasts_s", lasts_s, None))
    return Call("POST", "/v1/tokens", "NewToken", body)


def tokens_revoke(name: str) -> Call[None]:
    """Revoke a token."""
    return Call("DELETE", f"/v1/tokens/{quote(name)}", "None")


def machines_run_target() -> str:
    """The path of a stream: make a machine, start it and attach to its command."""
    return "/v1/run"


def machines_exec_target(machine: str) -> str:
    """The path of a stream: run a command in a machine and attach to it."""
    return f"/v1/machines/{quote(machine)}/exec"


def machines_attach_target(machine: str) -> str:
    """The path of a stream: attach to a running command."""
    return f"/v1/machines/{quote(machine)}/attach"


def machines_tunnel_target(machine: str) -> str:
    """The path of a stream: connect to a port of a machine."""
    return f"/v1/machines/{quote(machine)}/tunnel"


def machines_applet_target(machine: str) -> str:
    """The path of a stream: run a program that is part of the agent, and attach to it."""
    return f"/v1/machines/{quote(machine)}/applet"
