# Written by `python -m banger.api.generate` from aio_vm.py; not by hand.
# fmt: off
"""A machine as an object (blocking)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Callable, Sequence
from typing import TYPE_CHECKING, Literal, overload

from banger.client import calls, results
from banger.client.sync_machine_verbs import MachineVerbs
from banger.client.sync_methods import entered
from banger.client.sync_process import DetachedProcess, Process, attach, spawn
from banger.client.outputs import Said
from banger.client.results import CompletedRun, Env, Heard, Text
from banger.errors import DaemonLost, NoSuchMachine
from banger.model.machine import Machine, MachineState

if TYPE_CHECKING:
    from banger.client.sync_files import Files
    from banger.model.difference import FileChange
    from banger.model.template import Snapshot

_AT_REST = (MachineState.CREATED, MachineState.STOPPED, MachineState.FAILED)


class Vm(MachineVerbs):
    """A machine. `record` is what the daemon told of it last; `refresh` asks again.

    In a `with`, the machine and all that belongs to it is deleted at the end of the block. Without one it stays
    until it is deleted, also when this process ends.
    """

    def __enter__(self) -> Vm:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def __repr__(self) -> str:
        return f"<Vm {self.name}, {self.state.value}, {self.record.spec.image}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        import html

        spec = self.record.spec
        facts = (self.name, self.state.value, spec.image, f"{spec.cpus} CPU", f"{spec.memory_mib} MiB")
        cells = "".join(f"<td>{html.escape(str(fact))}</td>" for fact in facts)
        return f"<table><tr>{cells}</tr></table>"

    @property
    def files(self) -> Files:
        """The files of the machine."""
        from banger.client.sync_files import Files  # with what reads archives, 10 ms

        return Files(self.client, self.id)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def state(self) -> MachineState:
        return self.record.state

    def refresh(self) -> Machine:
        """Ask the daemon for the present record."""
        return self._perform_and_keep(calls.machines_get(self.id))

    def discard(self) -> None:
        """Delete the machine, running or not; it may be gone already."""
        try:
            self.delete(force=True)
        except NoSuchMachine:
            return

    def ensure_started(self, progress: Heard | None = None, timeout_s: float | None = None) -> Machine:
        """Start the machine unless it runs. If the daemon is lost meanwhile, its successor is asked what came of it."""
        try:
            return self.start(progress=progress, timeout_s=timeout_s)
        except DaemonLost:
            if (self.refresh()).state in _AT_REST:
                return self.start(progress=progress, timeout_s=timeout_s)
            return self.record

    @overload
    def exec(
        self,
        argv: Sequence[Text] | Text,
        *,
        shell: bool = False,
        stdin: str | bytes = b"",
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
        check: bool = False,
        text: Literal[True] = True,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> CompletedRun[str]: ...

    @overload
    def exec(
        self,
        argv: Sequence[Text] | Text,
        *,
        shell: bool = False,
        stdin: str | bytes = b"",
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
        check: bool = False,
        text: Literal[False],
        on_stdout: Callable[[bytes], object] | None = None,
        on_stderr: Callable[[bytes], object] | None = None,
    ) -> CompletedRun[bytes]: ...

    def exec(
        self,
        argv: Sequence[Text] | Text,
        *,
        shell: bool = False,
        stdin: str | bytes = b"",
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
        check: bool = False,
        text: bool = True,
        on_stdout: Callable[[str], object] | Callable[[bytes], object] | None = None,
        on_stderr: Callable[[str], object] | Callable[[bytes], object] | None = None,
    ) -> CompletedRun[str] | CompletedRun[bytes]:
        """Run a command to its end. `argv` is a list of arguments, or with `shell` one text for `sh -c`.

        `on_stdout` and `on_stderr` are called with each piece as it arrives. At `timeout_s` seconds (0: no limit) the
        command and its children are killed, and the result has `timed_out`. With `check`, an exit code other than 0
        raises `command_failed`, and the time limit `timeout`.
        """
        command = results.plan_command(
            argv, shell=shell, stdin=bool(stdin), env=env, cwd=cwd, user=user, timeout_s=timeout_s
        )
        told: dict[str, Callable[..., object] | None] = {"stdout": on_stdout, "stderr": on_stderr}
        pieces: list[Said] = []
        with spawn(self.client, self.id, command) as process:
            for said in process.exchange(stdin):
                pieces.append(said)
                if (hear := told[said.source]) is not None:
                    hear(said.text if text else said.data)
            ended = process.ended(pieces)
        done = ended.decoded() if text else ended
        return done.check() if check else done

    @entered
    def spawn(
        self,
        argv: Sequence[Text] | Text = (),
        *,
        shell: bool = False,
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
        pty: bool | tuple[int, int] = False,
    ) -> Process:
        """Start a command, with its stdin open, and stay attached to it: write to it, iterate over its output. `pty`
        gives it a terminal, of 24 rows and 80 columns, or of the size given. Without `argv` it is the login shell."""
        size = (24, 80) if pty is True else pty or None
        command = results.plan_command(
            argv, shell=shell, stdin=True, env=env, cwd=cwd, user=user, timeout_s=timeout_s, tty=size
        )
        return spawn(self.client, self.id, command)

    def exec_detached(
        self,
        argv: Sequence[Text] | Text,
        *,
        shell: bool = False,
        stdin: bool = False,
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
    ) -> DetachedProcess:
        """Start a command that runs without a client. With `stdin`, a client that attaches can write to its stdin."""
        command = results.plan_command(
            argv, shell=shell, stdin=stdin, env=env, cwd=cwd, user=user, timeout_s=timeout_s
        )
        record = self.client.perform(calls.machines_exec_detached(self.id, command))
        return DetachedProcess(self.client, self.id, record)

    @entered
    def attach(self, exec_id: int | None = None) -> Process:
        """Attach to a command that runs; without a number to the main command."""
        return attach(self.client, self.id, exec_id)

    def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        source: Literal["exec", "console"] = "exec",
        timestamps: bool = False,
        since: str = "",
        until: str = "",
    ) -> Iterator[str]:
        """The lines that the main command wrote, or those of the console; with `follow` also those to come, until the
        machine stops. `since` and `until` are times as in RFC 3339; with `timestamps` each line begins with its
        time."""
        call = calls.machines_logs(
            self.id,
            source=source,
            tail=tail,
            follow=follow,
            timestamps=timestamps,
            since=since,
            until=until,
        )
        answer = self.client.open(call)
        for line in answer.lines():
            yield line.decode("utf-8", "replace")

    @entered
    def fork(
        self,
        count: int = 1,
        name: str = "",
        *,
        with_secrets: bool = False,
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Vms:
        """Running copies of this machine, with its memory and its disk; of a machine that has secrets only
        `with_secrets`. In a `with`, all are deleted at the end."""
        call = calls.machines_fork(self.id, count, name, with_secrets)
        records = self._finish(call, progress, timeout_s)
        return Vms(Vm(self.client, record) for record in records)

    def snapshot(
        self, tag: str = "", *, progress: Heard | None = None, timeout_s: float | None = None
    ) -> Snapshot:
        """Save memory and disk; the machine keeps running. Without a `tag` one is made up: see `.tag` of the result."""
        tag = tag or f"s{os.urandom(6).hex()}"
        return self._finish(calls.machines_snapshot(self.id, tag), progress, timeout_s)

    def diff(self) -> list[FileChange]:
        """What changed on the disk since the machine was made from its image, sorted by path."""
        answer = self.client.open(calls.machines_diff(self.id))
        return [results.read_change(line) for line in answer.lines()]

    def restore(
        self,
        snapshot: Snapshot | str,
        *,
        progress: Heard | None = None,
        timeout_s: float | None = None,
    ) -> Machine:
        """Set the machine back to one of its snapshots, named by its tag."""
        tag = snapshot if isinstance(snapshot, str) else snapshot.tag  # of the machine of this name
        return self._finish_and_keep(calls.machines_restore(self.name, tag), progress, timeout_s)


class Vms(list[Vm]):
    """Several machines. In a `with`, all are deleted at the end of the block."""

    def __enter__(self) -> Vms:
        return self

    def __exit__(self, *_: object) -> None:
        failure: Exception | None = None
        for vm in self:
            try:
                vm.discard()
            except Exception as exc:
                failure = failure or exc
        if failure is not None:
            raise failure
