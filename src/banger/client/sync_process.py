# Written by `python -m banger.api.generate` from aio_process.py; not by hand.
# fmt: off
"""A command in a machine that this client is attached to, or can attach to (blocking)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from banger.client import calls, results
from banger.client.sync_methods import Carrier, begin, entered
from banger.client.stream import Stream
from banger.client.outputs import Listener, Said
from banger.errors import Error

if TYPE_CHECKING:
    from banger.client.results import CompletedRun
    from banger.model.command import Command, Exec, Exit


class Process:
    """A command that runs while this client is attached. Made by `spawn` and `attach`.

    Iterate over it for its output, or `wait` for the rest of it. Use it in a `with`: a block that ends before
    the command does hangs up, and the command gets SIGHUP, unless it was started detached. One task or thread uses it
    at a time. `refused` has why signals and sizes did not reach the command.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._heard = Listener()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Process exec {self.exec_id}, {'ended' if self._stream.finished else 'running'}>"

    @property
    def exec_id(self) -> int:
        """The number of the command in its machine."""
        return self._heard.exec_id

    @property
    def pid(self) -> int:
        """The pid in the guest."""
        return self._heard.pid

    @property
    def exit_code(self) -> int | None:
        """None while the command runs."""
        exited = self._heard.exited
        return None if exited is None else exited.code

    @property
    def refused(self) -> list[Exception]:
        return list(self._heard.refused)

    def begun(self) -> Process:
        """Wait until the command has started. Raises why it did not."""
        try:
            while not (self._stream.started or self._stream.finished):
                self._hear()
        except BaseException:
            self.close()
            raise
        return self

    def write(self, data: str | bytes) -> None:
        """Send stdin. Waits while the command does not read; its output is kept meanwhile. Raises `payload_too_large`
        if that becomes too much: take output between writes, or use `exchange`."""
        rest = memoryview(results.as_bytes(data))
        while rest and not self._stream.finished:
            if room := self._stream.stdin_room:
                self._stream.send_stdin(rest[:room])
                rest = rest[room:]
            else:
                self._hear()
                self._heard.check_held()

    def exchange(self, data: str | bytes) -> Iterator[Said]:
        """Send all of stdin and close it, and meanwhile give the output as it arrives, to its end."""
        rest = memoryview(results.as_bytes(data))
        while rest and not self._stream.finished:
            while rest and (room := self._stream.stdin_room):
                self._stream.send_stdin(rest[:room])
                rest = rest[room:]
            while self._heard.said:
                yield self._heard.take()
            if rest:
                self._hear()
        self.close_stdin()
        for said in self:
            yield said

    def close_stdin(self) -> None:
        """The command sees the end of its stdin."""
        if not self._stream.finished:
            self._stream.close_stdin()

    def signal(self, number: int) -> None:
        """Send a signal to the command."""
        if not self._stream.finished:
            self._stream.signal(number)

    def kill(self) -> None:
        """Send SIGKILL to the command."""
        self.signal(9)

    def resize(self, rows: int, cols: int) -> None:
        """Tell the command a new size of its terminal."""
        if not self._stream.finished:
            self._stream.resize(rows, cols)

    def detach(self) -> None:
        """Leave the command running without this client, and close this end."""
        try:
            if not self._stream.finished:
                self._stream.detach()
            while not self._stream.finished:
                self._hear()
        finally:
            self.close()

    def close(self) -> None:
        """Hang up."""
        self._stream.close()

    def __iter__(self) -> Process:
        return self

    def __next__(self) -> Said:
        """The next piece of output, as it arrives."""
        while not self._heard.said:
            if self._stream.finished:
                raise StopIteration
            self._hear()
        return self._heard.take()

    def wait(self, check: bool = False) -> CompletedRun[str]:
        """Close stdin, wait for the end of the command, and return the output that was not iterated over, as text. With
        `check`, raises `command_failed` for an exit code other than 0, and `timeout` at the time limit."""
        ended = (self.wait_for_bytes()).decoded()
        return ended.check() if check else ended

    def wait_for_bytes(self) -> CompletedRun[bytes]:
        """The same, with output as bytes."""
        self.close_stdin()
        return self.ended([piece for piece in self])

    def ended(self, pieces: list[Said]) -> CompletedRun[bytes]:
        """What the command was, from all pieces of its output."""
        self.close()
        return self._heard.finish(pieces)

    def _hear(self) -> None:
        for event in self._stream.wait_long():
            self._heard.hear(event)


class DetachedProcess:
    """A command that runs in a machine without a client. `exec` describes it as it was when it started."""

    def __init__(self, client: Carrier, machine_id: str, record: Exec) -> None:
        self._client = client
        self._machine_id = machine_id
        self.exec = record

    def __repr__(self) -> str:
        return f"<DetachedProcess exec {self.id}, {' '.join(self.exec.argv)[:60]!r}>"

    @property
    def id(self) -> int:
        return self.exec.id

    @entered
    def attach(self) -> Process:
        """Attach to the command: what it writes from now on, its stdin, its end. The command outlives that."""
        return attach(self._client, self._machine_id, self.id)

    def wait(self) -> Exit:
        """Wait until the command has ended."""
        return self._client.perform(calls.machines_wait_exec(self._machine_id, self.id))

    def kill(self, signal: int = 9) -> None:
        """Send a signal to the command."""
        self._client.perform(calls.machines_signal_exec(self._machine_id, self.id, signal))

    def output(self, follow: bool = False) -> Iterator[bytes]:
        """What the command has written, stdout and stderr as they came; with `follow`, also what it will write."""
        call = calls.machines_logs(self._machine_id, source="exec", follow=follow, exec=self.id)
        answer = self._client.open(call)
        for piece in answer.chunks():
            yield piece


def execute(
    client: Carrier, machine_id: str, command: Command, limit_bytes: int
) -> CompletedRun[bytes]:
    """Run a command without stdin to its end. Raises `payload_too_large` for more output."""
    pieces: list[Said] = []
    with spawn(client, machine_id, command) as process:
        for said in process:
            pieces.append(said)
            limit_bytes -= len(said.data)
            if limit_bytes < 0:
                raise Error(
                    "payload_too_large", "the machine says more than it should", "list a smaller tree"
                )
        return process.ended(pieces)


def spawn(client: Carrier, machine_id: str, command: Command) -> Process:
    """Start a command, attached to it."""
    target = calls.machines_exec_target(machine_id)
    return Process(begin(client, target, results.encode_exec(command))).begun()


def attach(client: Carrier, machine_id: str, exec_id: int | None) -> Process:
    """Attach to a command; None means the main command."""
    target = calls.machines_attach_target(machine_id)
    return Process(begin(client, target, results.encode_attach(exec_id))).begun()
