"""E2B's Sandbox (for asyncio)."""

from __future__ import annotations

import builtins
import os
import posixpath
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, overload

from banger.client.aio import AsyncClient
from banger.client.aio_process import AsyncProcess
from banger.client.aio_vm import AsyncVm
from banger.client.outputs import Said
from banger.compat.errors import CommandExitException, TimeoutException, translated
from banger.compat.results import CommandResult, EntryInfo, FileType, entry_of, kind_of
from banger.errors import NoSuchMachine
from banger.model.machine import MachineState

# What a program finds where it runs: paths are relative to this directory.
HOME = "/home/user"
_IMAGE = "BANGER_COMPAT_IMAGE"
_DEFAULT_IMAGE = "debian-bookworm"
_LABEL = "banger.compat"
_ROOT = ("user", "root", "")

Heard = Callable[[str], Any]


class AsyncSandbox:
    """A machine that lives for `timeout` seconds, and is deleted then. In an `async with`, it is deleted at the end."""

    default_timeout = 300

    def __init__(self, vm: AsyncVm, envs: Mapping[str, str] | None = None) -> None:
        self._vm = vm
        self.commands = AsyncCommands(vm, dict(envs or {}))
        self.files = AsyncFilesystem(vm)

    @classmethod
    def _of(cls, vm: AsyncVm, envs: Mapping[str, str] | None = None) -> Self:
        return cls(vm, envs)

    @classmethod
    async def create(
        cls,
        template: str | None = None,
        timeout: int | None = None,
        metadata: Mapping[str, str] | None = None,
        envs: Mapping[str, str] | None = None,
        allow_internet_access: bool = True,
        **_: object,
    ) -> Self:
        """Make a sandbox. `template` names an image; without it, or with "base", it is BANGER_COMPAT_IMAGE or
        debian-bookworm. Arguments for a hosted service (api_key, domain and so on) mean nothing here."""
        image = template if template not in (None, "base") else None
        with translated():
            vm = await AsyncClient().run(
                image or os.environ.get(_IMAGE) or _DEFAULT_IMAGE,
                ttl_s=timeout or cls.default_timeout,
                network="internet" if allow_internet_access else "none",
                labels={**(metadata or {}), _LABEL: "1"},
            )
            try:
                await vm.files.make_dir(HOME)
            except BaseException:
                await vm.discard()
                raise
        return cls._of(vm, envs)

    @classmethod
    async def connect(cls, sandbox_id: str, timeout: int | None = None, **_: object) -> Self:
        """The sandbox with that id, which exists."""
        with translated():
            sandbox = cls._of(await AsyncClient().machine(sandbox_id))
            if timeout is not None:
                await sandbox.set_timeout(timeout)
        return sandbox

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def sandbox_id(self) -> str:
        return self._vm.id

    async def kill(self, **_: object) -> bool:
        """Delete the sandbox. False if it was gone already."""
        try:
            with translated():
                await self._vm.delete(force=True)
        except Exception as exc:
            if isinstance(exc.__cause__, NoSuchMachine):
                return False
            raise
        return True

    async def is_running(self, **_: object) -> bool:
        try:
            return (await self._vm.refresh()).state in (MachineState.RUNNING, MachineState.PAUSED)
        except NoSuchMachine:
            return False

    async def set_timeout(self, timeout: int, **_: object) -> None:
        """The sandbox lives for this many seconds from now on."""
        with translated():
            await self._vm.change_expiry(timeout)

    async def get_host(self, port: int) -> str:
        """Address and port of this host that lead to a port of the sandbox."""
        with translated():
            for attempt in range(2):
                for one in self._vm.record.network.ports:
                    if one.guest_port == port and one.protocol == "tcp":
                        return f"{one.bind}:{one.port}"
                if not attempt:
                    await self._vm.publish(f"0:{port}")
        raise TimeoutException(f"port {port} was not published")


class AsyncCommands:
    """Commands of one sandbox: lines for its shell."""

    def __init__(self, vm: AsyncVm, envs: dict[str, str]) -> None:
        self._vm = vm
        self._envs = envs

    @overload
    async def run(
        self,
        cmd: str,
        background: Literal[False] | None = None,
        envs: Mapping[str, str] | None = None,
        user: str = "user",
        cwd: str | None = None,
        on_stdout: Heard | None = None,
        on_stderr: Heard | None = None,
        timeout: float | None = 60,
        **_: object,
    ) -> CommandResult: ...

    @overload
    async def run(
        self,
        cmd: str,
        background: Literal[True],
        envs: Mapping[str, str] | None = None,
        user: str = "user",
        cwd: str | None = None,
        on_stdout: Heard | None = None,
        on_stderr: Heard | None = None,
        timeout: float | None = 60,
        **_: object,
    ) -> AsyncCommandHandle: ...

    async def run(
        self,
        cmd: str,
        background: bool | None = None,
        envs: Mapping[str, str] | None = None,
        user: str = "user",
        cwd: str | None = None,
        on_stdout: Heard | None = None,
        on_stderr: Heard | None = None,
        timeout: float | None = 60,
        **_: object,
    ) -> CommandResult | AsyncCommandHandle:
        """Run a line in the shell, in /home/user unless `cwd` says otherwise. An exit code other than 0 raises
        `CommandExitException`, the time limit `TimeoutException`. `user` "user" is root here."""
        with translated():
            process = await self._vm.spawn(
                cmd,
                shell=True,
                env={**self._envs, **(envs or {})},
                cwd=posixpath.join(HOME, cwd or ""),
                user="0" if user in _ROOT else user,
                timeout_s=timeout or 0,
            )
        handle = AsyncCommandHandle(process)
        return handle if background else await handle.wait(on_stdout, on_stderr)

    async def kill(self, pid: int, **_: object) -> bool:
        """Kill a command by its pid. False if none has it."""
        with translated():
            for one in await self._vm.execs():
                if one.pid == pid and one.running:
                    await self._vm.signal_exec(one.id, 9)
                    return True
        return False


class AsyncCommandHandle:
    """A command in the background. It ends when this object hangs up, or with `kill`."""

    def __init__(self, process: AsyncProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send_stdin(self, data: str) -> None:
        with translated():
            await self._process.write(data)

    async def kill(self) -> bool:
        """Kill the command. False if it has ended."""
        if self._process.exit_code is not None:
            return False
        self._process.kill()
        return True

    async def disconnect(self) -> None:
        """Leave the command running."""
        with translated():
            await self._process.detach()

    async def wait(self, on_stdout: Heard | None = None, on_stderr: Heard | None = None) -> CommandResult:
        """Wait for the end of the command. Raises as `run` does."""
        heard = {"stdout": on_stdout, "stderr": on_stderr}
        pieces: list[Said] = []
        with translated():
            self._process.close_stdin()
            async for said in self._process:
                pieces.append(said)
                if (hear := heard[said.source]) is not None and said.text:
                    hear(said.text)
            run = self._process.ended(pieces).decoded()
        if run.timed_out:
            raise TimeoutException("the command was killed at its time limit")
        if run.exit_code:
            raise CommandExitException(run)
        return CommandResult(run.stderr, run.stdout, run.exit_code)


class AsyncFilesystem:
    """Files of one sandbox. Relative paths begin at /home/user."""

    def __init__(self, vm: AsyncVm) -> None:
        self._files = vm.files

    @overload
    async def read(self, path: str, format: Literal["text"] = "text", **_: object) -> str: ...

    @overload
    async def read(self, path: str, format: Literal["bytes"], **_: object) -> bytearray: ...

    async def read(
        self, path: str, format: Literal["text", "bytes"] = "text", **_: object
    ) -> str | bytearray:
        with translated():
            data = await self._files.read(_place(path), text=False)
        return bytearray(data) if format == "bytes" else data.decode("utf-8", "replace")

    async def write(self, path: str, data: str | bytes, **_: object) -> EntryInfo:
        whole = _place(path)
        with translated():
            await self._files.write(whole, data)
        return EntryInfo(posixpath.basename(whole), FileType.FILE, whole)

    async def list(self, path: str, **_: object) -> builtins.list[EntryInfo]:
        with translated():
            return [entry_of(entry) for entry in await self._files.list(_place(path))]

    async def exists(self, path: str, **_: object) -> bool:
        with translated():
            return await self._files.exists(_place(path))

    async def remove(self, path: str, **_: object) -> None:
        with translated():
            await self._files.remove(_place(path), recursive=True)

    async def rename(self, old_path: str, new_path: str, **_: object) -> EntryInfo:
        new = _place(new_path)
        with translated():
            await self._files.move(_place(old_path), new)
            kind = (await self._files.stat(new)).type
        return EntryInfo(posixpath.basename(new), kind_of(kind), new)

    async def make_dir(self, path: str, **_: object) -> bool:
        """Make a directory. False if it was there."""
        whole = _place(path)
        with translated():
            if await self._files.exists(whole):
                return False
            await self._files.make_dir(whole)
        return True


def _place(path: str) -> str:
    return posixpath.join(HOME, path)
