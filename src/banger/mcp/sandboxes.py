"""The sandboxes of one scope: machines with its label. Machines without it do not exist for agents."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from datetime import UTC, datetime, timedelta

from banger.client import results
from banger.client.aio import AsyncClient
from banger.client.aio_vm import AsyncVm
from banger.client.outputs import Said
from banger.errors import Error, NoSuchImage, NoSuchMachine
from banger.mcp.limits import Limits, check_count, check_file, check_sandbox, may_pull, refuse
from banger.model.machine import Machine
from banger.model.template import Snapshot

LABEL = "banger.mcp.scope"


class Sandboxes:
    """Lives as long as the server. `_making` keeps two requests from counting the same sandboxes."""

    def __init__(self, client: AsyncClient, limits: Limits, scope: str) -> None:
        self._client = client
        self.limits = limits
        self._scope = scope
        self._making = asyncio.Lock()

    async def all(self) -> list[Machine]:
        return [
            machine for machine in await self._client.machines.list() if self._is_ours(machine.spec.labels)
        ]

    async def find(self, name: str) -> AsyncVm:
        """Raises `machine_not_found` also for machines of others."""
        vm = await self._client.machine(name)
        if not self._is_ours(vm.record.spec.labels):
            raise Error("machine_not_found", f"no sandbox named {name!r}")
        return vm

    async def create(self, image: str, *, cpus: int, memory_mib: int, network: str, ttl_s: float) -> Machine:
        limits = self.limits
        image = image or limits.default_image
        ttl_s = ttl_s or limits.ttl_s
        policy = check_sandbox(limits, cpus=cpus, memory_mib=memory_mib, network=network, ttl_s=ttl_s)
        await self._check_image(image)
        async with self._making:
            check_count(len(await self.all()), 1, limits.sandboxes, "sandboxes")
            vm = await self._client.run(
                image,
                cpus=cpus,
                memory_mib=memory_mib,
                disk_bytes=limits.disk_bytes,
                network=policy,
                ttl_s=ttl_s,
                labels={LABEL: self._scope},
            )
        return vm.record

    async def fork(self, name: str, count: int) -> list[Machine]:
        """Copies live as long as their original still has to live: a chain of forks ends, too."""
        vm = await self.find(name)
        if count < 1:
            raise Error("bad_request", "a fork makes at least one copy")
        async with self._making:
            check_count(len(await self.all()), count, self.limits.sandboxes, "sandboxes")
            copies = await vm.fork(count)
        left_s = still_to_live_s(vm.record, datetime.now(UTC))
        return [await copy.change_expiry(left_s) for copy in copies]

    async def snapshot(self, name: str, tag: str) -> Snapshot:
        vm = await self.find(name)
        async with self._making:
            check_count(len(await self._snapshots()), 1, self.limits.snapshots, "snapshots")
            return await vm.snapshot(tag)

    async def restore(self, name: str, tag: str) -> Machine:
        return await (await self.find(name)).restore(tag)

    async def delete(self, name: str) -> None:
        vm = await self.find(name)
        await vm.discard()
        await self._remove_snapshots(vm.name)

    async def delete_all(self) -> None:
        """For the end of a server whose scope no other server shares."""
        for machine in await self.all():
            with contextlib.suppress(NoSuchMachine):
                await self.delete(machine.name)
        for snapshot in await self._snapshots():
            await self._client.snapshots.delete(snapshot.machine, snapshot.tag)

    async def exec(
        self, name: str, command: str, *, stdin: str, cwd: str, timeout_s: float
    ) -> dict[str, object]:
        """Run a line in the sandbox's shell. Output beyond the limit is read and dropped."""
        vm = await self.find(name)
        limit_s = min(timeout_s or self.limits.exec_s, self.limits.exec_s)
        kept = _Kept(self.limits.output_bytes)
        async with vm.spawn(command, shell=True, cwd=cwd, user="0", timeout_s=limit_s) as process:
            async for said in process.exchange(stdin):
                kept.take(said)
            ended = process.ended([])
        return {
            "stdout": kept.text("stdout"),
            "stderr": kept.text("stderr"),
            "exit_code": ended.exit_code,
            "timed_out": ended.timed_out,
            "output_was_cut": kept.was_cut,
        }

    async def read(self, name: str, path: str) -> dict[str, str]:
        """A file as text, or in base64 if it is not UTF-8."""
        vm = await self.find(name)
        check_file(self.limits, (await vm.files.stat(path)).size_bytes)
        data = await vm.files.read(path, text=False, limit_bytes=self.limits.file_bytes)
        try:
            return {"content": data.decode(), "encoding": "utf-8"}
        except UnicodeDecodeError:
            return {"content": base64.b64encode(data).decode(), "encoding": "base64"}

    async def write(self, name: str, path: str, content: str, encoding: str) -> None:
        vm = await self.find(name)
        if encoding not in ("utf-8", "base64"):
            raise Error("bad_request", f"unknown encoding {encoding!r}", "choose utf-8 or base64")
        try:
            data = (
                base64.b64decode(content, validate=True)
                if encoding == "base64"
                else results.as_bytes(content)
            )
        except ValueError as exc:
            raise Error("bad_request", "the content is not base64") from exc
        check_file(self.limits, len(data))
        await vm.files.write(path, data)

    def _is_ours(self, labels: dict[str, str]) -> bool:
        return labels.get(LABEL) == self._scope

    async def _snapshots(self) -> list[Snapshot]:
        """Those of this scope, also of sandboxes whose time is over: these are removed."""
        names = {machine.name for machine in await self.all()}
        kept = []
        for snapshot in await self._client.snapshots.list():
            if not self._is_ours(snapshot.spec.labels):
                continue
            if snapshot.machine in names:
                kept.append(snapshot)
            else:
                await self._client.snapshots.delete(snapshot.machine, snapshot.tag)
        return kept

    async def _remove_snapshots(self, name: str) -> None:
        for snapshot in await self._client.snapshots.list(name):
            if self._is_ours(snapshot.spec.labels):
                await self._client.snapshots.delete(name, snapshot.tag)

    async def _check_image(self, image: str) -> None:
        if may_pull(self.limits, image):
            return
        try:
            await self._client.images.get(image)
        except NoSuchImage as exc:
            allowed = ", ".join(("images that are here", *self.limits.images))
            raise refuse(f"the image {image!r}", allowed) from exc


def still_to_live_s(machine: Machine, now: datetime) -> float:
    """In seconds; at least one, since 0 would mean for ever. Pure."""
    ends = datetime.fromisoformat(machine.created) + timedelta(seconds=machine.spec.ttl_s)
    return max(1.0, (ends - now).total_seconds())


class _Kept:
    """The beginning of a command's output, as much as the limit allows."""

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self.was_cut = False

    def take(self, said: Said) -> None:
        part = said.data[: self._room]
        self._room -= len(part)
        self.was_cut = self.was_cut or len(part) < len(said.data)
        self._parts[said.source].append(part)

    def text(self, source: str) -> str:
        return results.as_text(b"".join(self._parts[source]))
