"""The nouns of the API as classes, whose methods are its verbs (for asyncio).

Written by `python -m banger.api.generate` from the API's table; not by hand.
"""
# fmt: off

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Literal

from banger.client import calls
from banger.client.aio_methods import Room

if TYPE_CHECKING:
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


class MachinesVerbs(Room):
    async def list(self) -> builtins.list[Machine]:
        """All machines."""
        call = calls.machines_list()
        return await self.client.perform(call)

    async def create(
        self,
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
        networks: builtins.list[Membership | Facts] | None = None,
        allow: builtins.list[str] | None = None,
        deny: builtins.list[str] | None = None,
        dns: builtins.list[str] | None = None,
        hosts: builtins.list[str] | None = None,
        hostname: str = "",
        ports: builtins.list[str] | None = None,
        publish_all: bool = False,
        mounts: builtins.list[Mount | Facts] | None = None,
        read_only: bool = False,
        tmpfs: builtins.list[str] | None = None,
        ulimits: builtins.list[str] | None = None,
        labels: dict[str, str] | None = None,
        healthcheck: HealthCheck | Facts | None = None,
        stop_signal: str = "",
        aslr: Literal["auto", "on", "off"] = "auto",
        stop_grace_s: float | None = None,
        confine: Literal["strict", "best-effort"] = "best-effort",
        boot_timeout_s: float = 60,
        command: Command | Facts | None = None,
        idempotency_key: str | None = None,
    ) -> Machine:
        """Create a machine; the machine is not started."""
        call = calls.machines_create(
            image,
            name=name,
            kernel=kernel,
            cpus=cpus,
            memory_mib=memory_mib,
            disk_bytes=disk_bytes,
            init=init,
            accel=accel,
            driver=driver,
            remove=remove,
            ttl_s=ttl_s,
            cold=cold,
            restart=restart,
            idle_pause_s=idle_pause_s,
            cpu_limit=cpu_limit,
            memory_limit_bytes=memory_limit_bytes,
            pids_limit=pids_limit,
            io_limit_bytes=io_limit_bytes,
            iops_limit=iops_limit,
            limits=limits,
            network=network,
            networks=networks,
            allow=allow,
            deny=deny,
            dns=dns,
            hosts=hosts,
            hostname=hostname,
            ports=ports,
            publish_all=publish_all,
            mounts=mounts,
            read_only=read_only,
            tmpfs=tmpfs,
            ulimits=ulimits,
            labels=labels,
            healthcheck=healthcheck,
            stop_signal=stop_signal,
            aslr=aslr,
            stop_grace_s=stop_grace_s,
            confine=confine,
            boot_timeout_s=boot_timeout_s,
            command=command,
            idempotency_key=idempotency_key,
        )
        return await self.client.perform(call)

    async def get(self, machine: str) -> Machine:
        """One machine, by name or id."""
        call = calls.machines_get(machine)
        return await self.client.perform(call)

    async def delete(self, machine: str, force: bool = False) -> None:
        """Delete a machine and everything that belongs to it."""
        call = calls.machines_delete(machine, force)
        return await self.client.perform(call)

    async def start(self, machine: str) -> Operation[Machine]:
        """Boot a machine."""
        call = calls.machines_start(machine)
        return await self.client.perform(call)

    async def stop(self, machine: str, grace_s: float | None = None) -> Operation[Machine]:
        """Shut a machine down, and kill it if that fails."""
        call = calls.machines_stop(machine, grace_s)
        return await self.client.perform(call)

    async def restart(self, machine: str, grace_s: float | None = None) -> Operation[Machine]:
        """Stop a machine if it runs, then start it."""
        call = calls.machines_restart(machine, grace_s)
        return await self.client.perform(call)

    async def kill(self, machine: str, signal: int | None = None) -> None:
        """Kill the VMM at once, or send a signal to the main command."""
        call = calls.machines_kill(machine, signal)
        return await self.client.perform(call)

    async def pause(self, machine: str) -> Machine:
        """Stop the vCPUs of a machine."""
        call = calls.machines_pause(machine)
        return await self.client.perform(call)

    async def resume(self, machine: str) -> Machine:
        """Let the vCPUs of a machine continue."""
        call = calls.machines_resume(machine)
        return await self.client.perform(call)

    async def snapshot(self, machine: str, tag: str) -> Operation[Snapshot]:
        """Save memory and disk of a machine; the machine keeps running."""
        call = calls.machines_snapshot(machine, tag)
        return await self.client.perform(call)

    async def restore(self, machine: str, tag: str) -> Operation[Machine]:
        """Set a machine back to a snapshot; a deleted machine is made again."""
        call = calls.machines_restore(machine, tag)
        return await self.client.perform(call)

    async def fork(self, machine: str, count: int = 1, name: str = "") -> Operation[builtins.list[Machine]]:
        """Make running copies of a running machine."""
        call = calls.machines_fork(machine, count, name)
        return await self.client.perform(call)

    async def commit(self, machine: str, image: str) -> Operation[Image]:
        """Make an image of a machine's disk."""
        call = calls.machines_commit(machine, image)
        return await self.client.perform(call)

    async def wait(self, machine: str) -> Machine:
        """Wait until a machine no longer runs."""
        call = calls.machines_wait(machine)
        return await self.client.perform(call)

    async def health(self, machine: str) -> Health:
        """Agent, init, clock and VMM of a machine, each on its own."""
        call = calls.machines_health(machine)
        return await self.client.perform(call)

    async def ping(self, machine: str, count: int = 1) -> Ping:
        """Round trips to the agent, measured in the daemon."""
        call = calls.machines_ping(machine, count)
        return await self.client.perform(call)

    async def stats(self, machine: str) -> Stats:
        """CPU, memory, disk and network of guest and VMM."""
        call = calls.machines_stats(machine)
        return await self.client.perform(call)

    async def ports(self, machine: str) -> builtins.list[GuestPort]:
        """Listening sockets of the guest."""
        call = calls.machines_ports(machine)
        return await self.client.perform(call)

    async def change_network(
        self,
        machine: str,
        network: Literal["none", "internet", "lan", "host"] | Literal[""] = "",
        allow: builtins.list[str] | None = None,
        deny: builtins.list[str] | None = None,
        clear: bool = False,
    ) -> Machine:
        """Change what a machine may reach."""
        call = calls.machines_change_network(machine, network, allow, deny, clear)
        return await self.client.perform(call)

    async def change_expiry(self, machine: str, ttl_s: float) -> Machine:
        """Change when a machine is deleted by itself."""
        call = calls.machines_change_expiry(machine, ttl_s)
        return await self.client.perform(call)

    async def publish(self, machine: str, port: str) -> Machine:
        """Let a port of the host lead to a port of a machine."""
        call = calls.machines_publish(machine, port)
        return await self.client.perform(call)

    async def unpublish(self, machine: str, port: str) -> Machine:
        """Close a published port of a machine."""
        call = calls.machines_unpublish(machine, port)
        return await self.client.perform(call)

    async def logs(
        self,
        machine: str,
        *,
        source: Literal["console", "exec"] = "console",
        tail: int | None = None,
        follow: bool = False,
        exec: int | None = None,
        timestamps: bool = False,
        since: str = "",
        until: str = "",
    ) -> AsyncIterator[bytes]:
        """The console, or the output of a command."""
        call = calls.machines_logs(
            machine,
            source=source,
            tail=tail,
            follow=follow,
            exec=exec,
            timestamps=timestamps,
            since=since,
            until=until,
        )
        answer = await self.client.open(call)
        async for piece in answer.chunks():
            yield piece

    async def execs(self, machine: str) -> builtins.list[Exec]:
        """Commands that run in a machine, and the last ones that ended."""
        call = calls.machines_execs(machine)
        return await self.client.perform(call)

    async def exec_detached(self, machine: str, command: Command | Facts | None = None) -> Exec:
        """Start a command without attaching to it."""
        call = calls.machines_exec_detached(machine, command)
        return await self.client.perform(call)

    async def get_exec(self, machine: str, id: int) -> Exec:
        """One command."""
        call = calls.machines_get_exec(machine, id)
        return await self.client.perform(call)

    async def signal_exec(self, machine: str, id: int, signal: int = 9) -> None:
        """Send a signal to a command."""
        call = calls.machines_signal_exec(machine, id, signal)
        return await self.client.perform(call)

    async def wait_exec(self, machine: str, id: int) -> Exit:
        """Wait until a command has ended."""
        call = calls.machines_wait_exec(machine, id)
        return await self.client.perform(call)

    async def get_files(self, machine: str, path: str, follow: bool = False) -> AsyncIterator[bytes]:
        """A file or tree of the guest, as tar."""
        call = calls.machines_get_files(machine, path, follow)
        answer = await self.client.open(call)
        async for piece in answer.chunks():
            yield piece

    async def put_files(self, machine: str, path: str, stream: Iterable[bytes]) -> None:
        """Extract a tar stream below a directory of the guest."""
        call = calls.machines_put_files(machine, path, stream)
        return await self.client.perform(call)

    async def stat_file(self, machine: str, path: str) -> FileStat:
        """Type, mode, owner, size and time of a path of the guest."""
        call = calls.machines_stat_file(machine, path)
        return await self.client.perform(call)

    async def rename(self, machine: str, name: str) -> Machine:
        """Give a machine another name."""
        call = calls.machines_rename(machine, name)
        return await self.client.perform(call)

    async def update(
        self,
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
        remove_labels: builtins.list[str] | None = None,
    ) -> Machine:
        """Change limits, restart policy, size, time to live or labels of a machine."""
        call = calls.machines_update(
            machine,
            cpu_limit=cpu_limit,
            memory_limit_bytes=memory_limit_bytes,
            pids_limit=pids_limit,
            io_limit_bytes=io_limit_bytes,
            iops_limit=iops_limit,
            restart=restart,
            ttl_s=ttl_s,
            cpus=cpus,
            memory_mib=memory_mib,
            disk_bytes=disk_bytes,
            labels=labels,
            remove_labels=remove_labels,
        )
        return await self.client.perform(call)

    async def reset(self, machine: str, force: bool = False) -> Operation[Machine]:
        """Throw away all that changed on a machine's disk."""
        call = calls.machines_reset(machine, force)
        return await self.client.perform(call)


class ImagesVerbs(Room):
    async def list(self) -> builtins.list[Image]:
        """All images."""
        call = calls.images_list()
        return await self.client.perform(call)

    async def pull(
        self,
        ref: str,
        *,
        force: bool = False,
        platform: str = "",
        insecure: bool = False,
        size_bytes: int = 0,
        name: str = "",
    ) -> Operation[Image]:
        """Build or fetch an image."""
        call = calls.images_pull(
            ref,
            force=force,
            platform=platform,
            insecure=insecure,
            size_bytes=size_bytes,
            name=name,
        )
        return await self.client.perform(call)

    async def push(self, name: str, ref: str = "", insecure: bool = False) -> Operation[Pushed]:
        """Send an image to a registry."""
        call = calls.images_push(name, ref, insecure)
        return await self.client.perform(call)

    async def save(self, name: str, also: builtins.list[str] | None = None) -> AsyncIterator[bytes]:
        """Images as an archive that other tools load."""
        call = calls.images_save(name, also)
        answer = await self.client.open(call)
        async for piece in answer.chunks():
            yield piece

    async def import_tar(self, name: str, stream: Iterable[bytes], size_bytes: int = 0) -> Image:
        """Make an image of a tar stream of one tree."""
        call = calls.images_import_tar(name, stream, size_bytes)
        return await self.client.perform(call)

    async def tag(self, name: str, new: str) -> Image:
        """Give an image another name."""
        call = calls.images_tag(name, new)
        return await self.client.perform(call)

    async def register(self, rootfs: str, name: str) -> Image:
        """Make an image of an existing ext4 disk."""
        call = calls.images_register(rootfs, name)
        return await self.client.perform(call)

    async def export(self, name: str) -> AsyncIterator[bytes]:
        """The disk of an image, as it is."""
        call = calls.images_export(name)
        answer = await self.client.open(call)
        async for piece in answer.chunks():
            yield piece

    async def prune(self, dry_run: bool = False) -> Pruned:
        """Remove disks that no name and no machine uses."""
        call = calls.images_prune(dry_run)
        return await self.client.perform(call)

    async def prune_blobs(self, dry_run: bool = False) -> Pruned:
        """Remove the compressed layers of registries."""
        call = calls.images_prune_blobs(dry_run)
        return await self.client.perform(call)

    async def offers(self, search: str = "") -> builtins.list[Offer]:
        """What catalogs offer."""
        call = calls.images_offers(search)
        return await self.client.perform(call)

    async def get(self, name: str) -> Image:
        """One image."""
        call = calls.images_get(name)
        return await self.client.perform(call)

    async def delete(self, name: str) -> None:
        """Delete an image that no machine uses."""
        call = calls.images_delete(name)
        return await self.client.perform(call)

    async def log_in(self, registry: str, username: str, password: str, insecure: bool = False) -> Login:
        """Check a password and keep it for later pulls."""
        call = calls.images_log_in(registry, username, password, insecure)
        return await self.client.perform(call)

    async def log_out(self, registry: str) -> Login:
        """Forget a registry's password."""
        call = calls.images_log_out(registry)
        return await self.client.perform(call)


class KernelsVerbs(Room):
    async def list(self) -> builtins.list[Kernel]:
        """All kernels."""
        call = calls.kernels_list()
        return await self.client.perform(call)

    async def pull(self, ref: str, force: bool = False, platform: str = "") -> Operation[Kernel]:
        """Fetch a kernel."""
        call = calls.kernels_pull(ref, force, platform)
        return await self.client.perform(call)

    async def offers(self, search: str = "") -> builtins.list[Offer]:
        """What catalogs offer."""
        call = calls.kernels_offers(search)
        return await self.client.perform(call)

    async def get(self, name: str) -> Kernel:
        """One kernel."""
        call = calls.kernels_get(name)
        return await self.client.perform(call)

    async def delete(self, name: str) -> None:
        """Delete a kernel that no machine uses."""
        call = calls.kernels_delete(name)
        return await self.client.perform(call)


class CatalogsVerbs(Room):
    async def list(self) -> builtins.list[Catalog]:
        """All catalogs, in the order in which banger searches them."""
        call = calls.catalogs_list()
        return await self.client.perform(call)

    async def add(self, url: str, key: str, name: str = "") -> Catalog:
        """Add a catalog, and pin its key."""
        call = calls.catalogs_add(url, key, name)
        return await self.client.perform(call)

    async def refresh(self, name: str = "") -> builtins.list[Catalog]:
        """Fetch the indexes of all catalogs, or of one."""
        call = calls.catalogs_refresh(name)
        return await self.client.perform(call)

    async def publish(
        self,
        kind: Literal["image", "kernel"],
        name: str,
        directory: str,
        *,
        entry: str = "",
        catalog: str = "",
        aliases: builtins.list[str] | None = None,
        description: str = "",
        provenance: str = "",
        key_file: str = "",
        password: str = "",
        expires_s: float = 2592000,
    ) -> Operation[Published]:
        """Put an image or kernel into a catalog's directory."""
        call = calls.catalogs_publish(
            kind,
            name,
            directory,
            entry=entry,
            catalog=catalog,
            aliases=aliases,
            description=description,
            provenance=provenance,
            key_file=key_file,
            password=password,
            expires_s=expires_s,
        )
        return await self.client.perform(call)

    async def verify(self, directory: str, key: str) -> Operation[Verified]:
        """Check a catalog's directory."""
        call = calls.catalogs_verify(directory, key)
        return await self.client.perform(call)

    async def remove(self, name: str) -> None:
        """Remove a catalog; images and kernels pulled from it stay."""
        call = calls.catalogs_remove(name)
        return await self.client.perform(call)


class TemplatesVerbs(Room):
    async def list(self) -> builtins.list[Template]:
        """All templates."""
        call = calls.templates_list()
        return await self.client.perform(call)

    async def prune(self, all: bool = False, dry_run: bool = False) -> Pruned:
        """Remove templates that are stale, or unused for 30 days."""
        call = calls.templates_prune(all, dry_run)
        return await self.client.perform(call)

    async def get(self, id: str) -> Template:
        """One template, by the beginning of its id."""
        call = calls.templates_get(id)
        return await self.client.perform(call)

    async def delete(self, id: str) -> None:
        """Delete a template."""
        call = calls.templates_delete(id)
        return await self.client.perform(call)


class SnapshotsVerbs(Room):
    async def list(self, machine: str = "") -> builtins.list[Snapshot]:
        """All snapshots, or those of one machine."""
        call = calls.snapshots_list(machine)
        return await self.client.perform(call)

    async def import_file(self, stream: Iterable[bytes], machine: str = "", tag: str = "") -> Snapshot:
        """Import an exported snapshot."""
        call = calls.snapshots_import_file(stream, machine, tag)
        return await self.client.perform(call)

    async def get(self, machine: str, tag: str) -> Snapshot:
        """One snapshot."""
        call = calls.snapshots_get(machine, tag)
        return await self.client.perform(call)

    async def delete(self, machine: str, tag: str) -> None:
        """Delete a snapshot."""
        call = calls.snapshots_delete(machine, tag)
        return await self.client.perform(call)

    async def export(self, machine: str, tag: str) -> AsyncIterator[bytes]:
        """A snapshot as one file, for an import on this host or on another."""
        call = calls.snapshots_export(machine, tag)
        answer = await self.client.open(call)
        async for piece in answer.chunks():
            yield piece


class NetworksVerbs(Room):
    async def list(self) -> builtins.list[Network]:
        """All named networks, with their members."""
        call = calls.networks_list()
        return await self.client.perform(call)

    async def prune(self, dry_run: bool = False) -> builtins.list[Network]:
        """Delete the networks that have no members."""
        call = calls.networks_prune(dry_run)
        return await self.client.perform(call)

    async def create(
        self,
        name: str,
        internal: bool = False,
        labels: dict[str, str] | None = None,
    ) -> Network:
        """Create a named network."""
        call = calls.networks_create(name, internal, labels)
        return await self.client.perform(call)

    async def get(self, network: str) -> Network:
        """One named network."""
        call = calls.networks_get(network)
        return await self.client.perform(call)

    async def delete(self, network: str) -> None:
        """Delete a network that has no members."""
        call = calls.networks_delete(network)
        return await self.client.perform(call)

    async def connect(self, network: str, machine: str, aliases: builtins.list[str] | None = None) -> Network:
        """Put a machine on a network, also while it runs."""
        call = calls.networks_connect(network, machine, aliases)
        return await self.client.perform(call)

    async def disconnect(self, network: str, machine: str) -> None:
        """Take a machine off a network, also while it runs."""
        call = calls.networks_disconnect(network, machine)
        return await self.client.perform(call)


class SystemVerbs(Room):
    async def info(self) -> SystemInfo:
        """Versions, directories, accelerators and drivers."""
        call = calls.system_info()
        return await self.client.perform(call)

    async def shutdown(self) -> None:
        """Stop the daemon; machines keep running."""
        call = calls.system_shutdown()
        return await self.client.perform(call)

    async def disk_usage(self) -> DiskUsage:
        """What uses disk space."""
        call = calls.system_disk_usage()
        return await self.client.perform(call)

    async def examine(self) -> Diagnosis:
        """What the doctor finds on this host; nothing is changed."""
        call = calls.system_examine()
        return await self.client.perform(call)

    async def reconcile(self, dry_run: bool = False, remove: bool = False) -> Reconciliation:
        """Compare the records with the host, and correct them."""
        call = calls.system_reconcile(dry_run, remove)
        return await self.client.perform(call)


class OperationsVerbs(Room):
    async def list(self) -> builtins.list[Operation[Any]]:
        """All operations that the daemon still knows."""
        call = calls.operations_list()
        return await self.client.perform(call)

    async def get(self, id: str) -> Operation[Any]:
        """One operation."""
        call = calls.operations_get(id)
        return await self.client.perform(call)

    async def cancel(self, id: str) -> Operation[Any]:
        """Cancel an operation, and wait until it has cleaned up."""
        call = calls.operations_cancel(id)
        return await self.client.perform(call)


class AccessVerbs(Room):
    async def whoami(self) -> Caller:
        """Who the daemon takes you for, and what you may do."""
        call = calls.access_whoami()
        return await self.client.perform(call)

    async def open(self, port: int | None = None) -> Doorway:
        """Listen on the loopback for browsers, and make a log-in link."""
        call = calls.access_open(port)
        return await self.client.perform(call)

    async def close(self) -> None:
        """Stop listening for browsers, and end their sessions."""
        call = calls.access_close()
        return await self.client.perform(call)


class TokensVerbs(Room):
    async def list(self) -> builtins.list[Token]:
        """All tokens, without their secrets."""
        call = calls.tokens_list()
        return await self.client.perform(call)

    async def create(
        self,
        name: str,
        rights: Literal["read", "write"] = "write",
        lasts_s: float | None = None,
    ) -> NewToken:
        """Make a token; no later answer has its secret."""
        call = calls.tokens_create(name, rights, lasts_s)
        return await self.client.perform(call)

    async def revoke(self, name: str) -> None:
        """Revoke a token."""
        call = calls.tokens_revoke(name)
        return await self.client.perform(call)
