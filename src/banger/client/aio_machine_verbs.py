"""What the API does with one machine, as methods of the machine (for asyncio).

Written by `python -m banger.api.generate` from the API's table; not by hand.
"""
# fmt: off

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from banger.client import calls
from banger.client.aio_waiting import OneMachine

if TYPE_CHECKING:
    from banger.client.results import Heard
    from banger.model.command import Exec, Exit
    from banger.model.image import Image
    from banger.model.machine import Machine
    from banger.model.report import GuestPort, Health, Ping, Stats


class MachineVerbs(OneMachine):
    async def delete(self, force: bool = False) -> None:
        """Delete a machine and everything that belongs to it."""
        call = calls.machines_delete(self.id, force)
        return await self.client.perform(call)

    async def start(self, *, progress: Heard | None = None, timeout_s: float | None = None) -> Machine:
        """Boot a machine."""
        call = calls.machines_start(self.id)
        return await self._finish_and_keep(call, progress, timeout_s)

    async def stop(
        self,
        grace_s: float | None = None,
        *,
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Machine:
        """Shut a machine down, and kill it if that fails."""
        call = calls.machines_stop(self.id, grace_s)
        return await self._finish_and_keep(call, progress, timeout_s)

    async def restart(
        self,
        grace_s: float | None = None,
        *,
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Machine:
        """Stop a machine if it runs, then start it."""
        call = calls.machines_restart(self.id, grace_s)
        return await self._finish_and_keep(call, progress, timeout_s)

    async def kill(self, signal: int | None = None) -> None:
        """Kill the VMM at once, or send a signal to the main command."""
        call = calls.machines_kill(self.id, signal)
        return await self.client.perform(call)

    async def pause(self) -> Machine:
        """Stop the vCPUs of a machine."""
        call = calls.machines_pause(self.id)
        return await self._perform_and_keep(call)

    async def resume(self) -> Machine:
        """Let the vCPUs of a machine continue."""
        call = calls.machines_resume(self.id)
        return await self._perform_and_keep(call)

    async def commit(
        self,
        image: str,
        *,
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Image:
        """Make an image of a machine's disk."""
        call = calls.machines_commit(self.id, image)
        return await self._finish(call, progress, timeout_s)

    async def wait(self) -> Machine:
        """Wait until a machine no longer runs."""
        call = calls.machines_wait(self.id)
        return await self._perform_and_keep(call)

    async def health(self) -> Health:
        """Agent, init, clock and VMM of a machine, each on its own."""
        call = calls.machines_health(self.id)
        return await self.client.perform(call)

    async def ping(self, count: int = 1) -> Ping:
        """Round trips to the agent, measured in the daemon."""
        call = calls.machines_ping(self.id, count)
        return await self.client.perform(call)

    async def stats(self) -> Stats:
        """CPU, memory, disk and network of guest and VMM."""
        call = calls.machines_stats(self.id)
        return await self.client.perform(call)

    async def ports(self) -> list[GuestPort]:
        """Listening sockets of the guest."""
        call = calls.machines_ports(self.id)
        return await self.client.perform(call)

    async def change_network(
        self,
        network: Literal["none", "internet", "lan", "host"] | Literal[""] = "",
        allow: list[str] | None = None,
        deny: list[str] | None = None,
        clear: bool = False,
    ) -> Machine:
        """Change what a machine may reach."""
        call = calls.machines_change_network(self.id, network, allow, deny, clear)
        return await self._perform_and_keep(call)

    async def change_expiry(self, ttl_s: float) -> Machine:
        """Change when a machine is deleted by itself."""
        call = calls.machines_change_expiry(self.id, ttl_s)
        return await self._perform_and_keep(call)

    async def publish(self, port: str) -> Machine:
        """Let a port of the host lead to a port of a machine."""
        call = calls.machines_publish(self.id, port)
        return await self._perform_and_keep(call)

    async def unpublish(self, port: str) -> Machine:
        """Close a published port of a machine."""
        call = calls.machines_unpublish(self.id, port)
        return await self._perform_and_keep(call)

    async def execs(self) -> list[Exec]:
        """Commands that run in a machine, and the last ones that ended."""
        call = calls.machines_execs(self.id)
        return await self.client.perform(call)

    async def get_exec(self, id: int) -> Exec:
        """One command."""
        call = calls.machines_get_exec(self.id, id)
        return await self.client.perform(call)

    async def signal_exec(self, id: int, signal: int = 9) -> None:
        """Send a signal to a command."""
        call = calls.machines_signal_exec(self.id, id, signal)
        return await self.client.perform(call)

    async def wait_exec(self, id: int) -> Exit:
        """Wait until a command has ended."""
        call = calls.machines_wait_exec(self.id, id)
        return await self.client.perform(call)

    async def rename(self, name: str) -> Machine:
        """Give a machine another name."""
        call = calls.machines_rename(self.id, name)
        return await self._perform_and_keep(call)

    async def update(
        self,
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
    ) -> Machine:
        """Change limits, restart policy, size, time to live or labels of a machine."""
        call = calls.machines_update(
            self.id,
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
        return await self._perform_and_keep(call)

    async def reset(
        self,
        force: bool = False,
        *,
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Machine:
        """Throw away all that changed on a machine's disk."""
        call = calls.machines_reset(self.id, force)
        return await self._finish_and_keep(call, progress, timeout_s)
