# Written by `python -m banger.api.generate` from aio_sandbox.py; not by hand.
# fmt: off
"""E2B's Sandbox (blocking)."""

from __future__ import annotations

import builtins
import os
import posixpath
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, overload

from banger.client.sync import Client
from banger.client.sync_process import Process
from banger.client.sync_vm import Vm
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


class Sandbox:
    """A machine that lives for `timeout` seconds, and is deleted then. In a `with`, it is deleted at the end."""

    default_timeout = 300

    def __init__(self, vm: Vm, envs: Mapping[str, str] | None = None) -> None:
        self._vm = vm
        self.commands = Commands(vm, dict(envs or {}))
        self.files = Filesystem(vm)

    @classmethod
    def _of(cls, vm: Vm, envs: Mapping[str, str] | None = None) -> Self:
        return cls(vm, envs)

    @classmethod
    def create(
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
            vm = Client().run(
                image or os.environ.get(_IMAGE) or _DEFAULT_IMAGE,
                ttl_s=timeout or cls.default_timeout,
                network="internet" if allow_internet_access else "none",
                labels={**(metadata or {}), _LABEL: "1"},
            )
            try:
                vm.files.make_dir(HOME)
            except BaseException:
                vm.discard()
                raise
        return cls._of(vm, envs)

    @classmethod
    def connect(cls, sandbox_id: str, timeout: int | None = None, **_: object) -> Self:
        """The sandbox with that id, which exists."""
        with translated():
            sandbox = cls._of(Client().machine(sandbox_id))
            if timeout is not None:
                sandbox.set_timeout(timeout)
        return sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def sandbox_id(self) -> str:
        return self._vm.id

    def kill(self, **_: object) -> bool:
        """Delete the sandbox. False if it was gone already."""
        try:
            with translated():
                self._vm.delete(force=True)
        except Exception as exc:
            if isinstance(exc.__cause__, NoSuchMachine):
                return False
            raise
        return True

    def is_running(self, **_: object) -> bool:
        try:
            return (self._vm.refresh()).state in (MachineState.RUNNING, MachineState.PAUSED)
        except NoSuchMachine:
            return False

    def set_timeout(self, timeout: int, **_: object) -> None:
        """The sandbox lives for this many seconds from now on."""
        with translated():
            self._vm.change_expiry(timeout)

    def get_host(self, port: int) -> str:
        """Address and port of this host that lead to a port of the sandbox."""
        with translated():
            for attempt in range(2):
                for one in self._vm.record.network.ports:
                    if one.guest_port == port and one.protocol == "tcp":
                        return f"{one.bind}:{one.port}"
                if not attempt:
                    self._vm.publish(f"0:{port}")
        raise TimeoutException(f"port {port} was not published")


class Commands:
    """Commands of one sandbox: lines for its shell."""

    def __init__(self, vm: Vm, envs: dict[str, str]) -> None:
        self._vm = vm
        self._envs = envs

    @overload
    def run(
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
    def run(
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
    ) -> CommandHandle: ...

    def run(
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
    ) -> CommandResult | CommandHandle:
        """Run a line in the shell, in /home/user unless `cwd` says otherwise. An exit code other than 0 raises
        `CommandExitException`, the time limit `TimeoutException`. `user` "user" is root here."""
        with translated():
            process = self._vm.spawn(
                cmd,
                shell=True,
                env={**self._envs, **(envs or {})},
                cwd=posixpath.join(HOME, cwd or ""),
                user="0" if user in _ROOT else user,
                timeout_s=timeout or 0,
            )
        handle = CommandHandle(process)
        return handle if background else handle.wait(on_stdout, on_stderr)

    def kill(self, pid: int, **_: object) -> bool:
        """Kill a command by its pid. False if none has it."""
        with translated():
            for one in self._vm.execs():
                if one.pid == pid and one.running:
                    self._vm.signal_exec(one.id, 9)
                    return True
        return False


class CommandHandle:
    """A command in the background. It ends when this object hangs up, or with `kill`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def send_stdin(self, data: str) -> None:
        with translated():
            self._process.write(data)

    def kill(self) -> bool:
        """Kill the command. False if it has ended."""
        if self._process.exit_code is not None:
            return False
        self._process.kill()
        return True

    def disconnect(self) -> None:
        """Leave the command running."""
        with translated():
            self._process.detach()

    def wait(self, on_stdout: Heard | None = None, on_stderr: Heard | None = None) -> CommandResult:
        """Wait for the end of the command. Raises as `run` does."""
        heard = {"stdout": on_stdout, "stderr": on_stderr}
        pieces: list[Said] = []
        with translated():
            self._process.close_stdin()
            for said in self._process:
                pieces.append(said)
                if (hear := heard[said.source]) is not None and said.text:
                    hear(said.text)
            run = self._process.ended(pieces).decoded()
        if run.timed_out:
            raise TimeoutException("the command was killed at its time limit")
        if run.exit_code:
            raise CommandExitException(run)
        return CommandResult(run.stderr, run.stdout, run.exit_code)


class Filesystem:
    """Files of one sandbox. Relative paths begin at /home/user."""

    def __init__(self, vm: Vm) -> None:
        self._files = vm.files

    @overload
    def read(self, path: str, format: Literal["text"] = "text", **_: object) -> str: ...

    @overload
    def read(self, path: str, format: Literal["bytes"], **_: object) -> bytearray: ...

    def read(
        self, path: str, format: Literal["text", "bytes"] = "text", **_: object
    ) -> str | bytearray:
        with translated():
            data = self._files.read(_place(path), text=False)
        return bytearray(data) if format == "bytes" else data.decode("utf-8", "replace")

    def write(self, path: str, data: str | bytes, **_: object) -> EntryInfo:
        whole = _place(path)
        with translated():
            self._files.write(whole, data)
        return EntryInfo(posixpath.basename(whole), FileType.FILE, whole)

    def list(self, path: str, **_: object) -> builtins.list[EntryInfo]:
        with translated():
            return [entry_of(entry) for entry in self._files.list(_place(path))]

    def exists(self, path: str, **_: object) -> bool:
        with translated():
            return self._files.exists(_place(path))

    def remove(self, path: str, **_: object) -> None:
        with translated():
            self._files.remove(_place(path), recursive=True)

    def rename(self, old_path: str, new_path: str, **_: object) -> EntryInfo:
        new = _place(new_path)
        with translated():
            self._files.move(_place(old_path), new)
            kind = (self._files.stat(new)).type
        return EntryInfo(posixpath.basename(new), kind_of(kind), new)

    def make_dir(self, path: str, **_: object) -> bool:
        """Make a directory. False if it was there."""
        whole = _place(path)
        with translated():
            if self._files.exists(whole):
                return False
            self._files.make_dir(whole)
        return True


def _place(path: str) -> str:
    return posixpath.join(HOME, path)
