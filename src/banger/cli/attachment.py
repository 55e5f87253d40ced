"""A stream connected to this process: stdin, stdout, stderr, terminal and signals, in one poll loop.

No threads. While the reader of our output does not take it, the stream is not read either, so a slow reader slows the
guest down and nothing piles up here. Signals and keys are forwarded all the time.
"""

from __future__ import annotations

import contextlib
import select
import signal
import sys
import time

from banger.cli.detaching import HOLD_S, DetachKeys
from banger.cli.pipes import Sink, Source
from banger.cli.signals import FORWARDED, Patience, Signals
from banger.client.messages import (
    STDERR,
    STDOUT,
    Detached,
    Event,
    Exited,
    MachineMade,
    Output,
    Progress,
    Refused,
    Started,
)
from banger.client.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from banger.cli.progress import Progress as ProgressView
    from banger.cli.terminal import Terminal
    from banger.errors import Error

DETACH_WAIT_S = 2.0


class Interrupted(Exception):
    """A signal made this process leave the command; `number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Ending:
    """The exit code for this process, and the last event of the daemon, if there was one."""

    __slots__ = ("code", "exec_id", "exited", "machine", "machine_goes_on")

    def __init__(
        self, code: int, machine: str, exited: Exited | None, machine_goes_on: bool, exec_id: int = 0
    ) -> None:
        self.exec_id = exec_id
        self.code = code
        self.machine = machine
        self.exited = exited
        self.machine_goes_on = machine_goes_on


class Attachment:
    """The connection to one command. `stdin`: whether our stdin is read. With `terminal` every key goes to the guest.
    `keep`: the command keeps running if this process leaves. `made` is told the name of the machine. Used once."""

    def __init__(
        self,
        stream: Stream,
        machine: str = "",
        stdin: bool = False,
        terminal: Terminal | None = None,
        keep: bool = False,
        quiet: bool = False,
        detach_keys: bytes = b"",
        made: Callable[[str], None] | None = None,
    ) -> None:
        self._made = made
        self._stream = stream
        self._machine = machine
        self._source = Source(0) if stdin else None
        self._terminal = terminal
        self._keep = keep
        self._quiet = quiet
        self._keys = DetachKeys(detach_keys)
        self._release_at = 0.0
        self._exec_id = 0
        self._progress: ProgressView | None = None
        self._patience = Patience()
        self._last: Event | None = None
        self._sinks: dict[int, Sink] = {}
        self._size = terminal.size() if terminal else (0, 0)

    def run(self) -> Ending:
        """Forward until the command ends, the user detaches, or a signal ends it."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._stream)
            signals = stack.enter_context(Signals(self._caught()))
            self._sinks = {STDOUT: stack.enter_context(Sink(1)), STDERR: stack.enter_context(Sink(2))}
            if self._terminal:
                stack.enter_context(self._terminal)
            stack.callback(self._close_progress)
            try:
                self._pump(signals)
            except Interrupted as exc:
                return self._give_up(exc.number)
        return self._ending()

    def _caught(self) -> tuple[signal.Signals, ...]:
        return (*FORWARDED, signal.SIGWINCH, signal.SIGCONT) if self._terminal else FORWARDED

    def _pump(self, signals: Signals) -> None:
        while self._last is None or any(sink.pending for sink in self._sinks.values()):
            ready = self._poll(signals)
            if signals.fileno() in ready:
                self._take_signals(signals)
            for channel, sink in self._sinks.items():
                if sink.fileno() in ready:
                    self._write(channel, memoryview(b""))
            if ready.get(self._stream.fileno(), 0) & select.POLLOUT:
                self._stream.flush()
            if self._stream.has_early or ready.get(self._stream.fileno(), 0) & ~select.POLLOUT:
                self._hear()
            if self._source and self._source.fileno() in ready:
                self._read_stdin(self._source)
            if self._keys.held and time.monotonic() >= self._release_at:
                self._stream.send_stdin(self._keys.release())
            if self._progress:
                self._progress.tick()

    def _poll(self, signals: Signals) -> dict[int, int]:
        """The file descriptors that are ready, and for what."""
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        blocked = False
        for sink in self._sinks.values():
            if sink.pending:
                blocked = True
                poll.register(sink, select.POLLOUT)
        if self._last is None:
            wanted = (0 if blocked else select.POLLIN) | (select.POLLOUT if self._stream.wants_write else 0)
            if wanted:
                poll.register(self._stream, wanted)
            if self._source and not self._source.ended and self._stdin_room > 0:
                poll.register(self._source, select.POLLIN)
        return dict(poll.poll(self._timeout_ms(blocked)))

    def _timeout_ms(self, blocked: bool) -> float | None:
        if self._stream.has_early and not blocked:
            return 0
        wait_s = self._progress.wait_s if self._progress else None
        if self._keys.held and self._last is None:
            wait_s = max(0.0, self._release_at - time.monotonic())
        return None if wait_s is None else wait_s * 1000

    def _hear(self) -> None:
        for event in self._stream.receive():
            if isinstance(event, Output):
                self._write(event.channel, event.data)
            elif isinstance(event, Started):
                self._exec_id = event.exec_id
                self._begin()
            elif isinstance(event, Progress):
                self._show(event)
            elif isinstance(event, MachineMade):
                self._machine = event.name
                if self._made:
                    self._made(event.name)
            elif isinstance(event, Refused):
                self._complain(event.error)
            if event.last:
                self._last = event

    def _complain(self, error: Error) -> None:
        from banger.cli.failure import warn

        warn(error.message)
        if self._terminal and self._terminal.is_raw:  # a line feed alone leaves the cursor in its column
            print("\r", end="", file=sys.stderr, flush=True)

    def _write(self, channel: int, data: memoryview) -> None:
        """Write output. If the reader of stdout is gone, everything ends; if the reader of stderr is gone, only
        stderr."""
        sink = self._sinks[channel]
        try:
            sink.write(data) if len(data) else sink.flush()
        except BrokenPipeError:
            if channel == STDOUT:
                raise
            sink.drop()

    def _begin(self) -> None:
        self._close_progress()
        if self._terminal:
            self._terminal.raw()
            self._resize()

    def _read_stdin(self, source: Source) -> None:
        data, leaves = source.read(self._stdin_room), False
        if self._terminal and self._terminal.is_raw:
            data, leaves = self._keys.feed(data)
            self._release_at = time.monotonic() + HOLD_S
        if source.ended:
            data += self._keys.release()
        if data:
            self._stream.send_stdin(data)
        if leaves:
            self._source = None
            self._stream.detach()
        elif source.ended:
            self._stream.close_stdin()

    @property
    def _stdin_room(self) -> int:
        return self._stream.stdin_room - self._keys.held

    def _take_signals(self, signals: Signals) -> None:
        for number in signals.take():
            if number in (signal.SIGWINCH, signal.SIGCONT):
                self._refresh_terminal(number)
            elif self._is_for_us(number):
                raise Interrupted(number)
            else:
                self._stream.signal(number)

    def _is_for_us(self, number: int) -> bool:
        """Whether a signal is for banger, and not for the guest: no command runs yet; or the guest has the terminal,
        where Ctrl-C is a byte and no signal; or the user presses Ctrl-C again and again."""
        if not self._stream.started or self._terminal:
            return True
        return number == signal.SIGINT and self._patience.press(time.monotonic())

    def _refresh_terminal(self, number: int) -> None:
        """Set the size and mode of the terminal again: after a new size, or after a stop, during which a shell has set
        its own modes."""
        if self._terminal and self._stream.started:
            if number == signal.SIGCONT:
                self._terminal.raw()
            self._resize()

    def _resize(self) -> None:
        if self._terminal and (size := self._terminal.size()) != self._size:
            self._size = size
            self._stream.resize(*size)

    def _show(self, said: Progress) -> None:
        from banger.cli.progress import Progress as ProgressView
        from banger.cli.progress import Step

        if self._progress is None:
            self._progress = ProgressView(self._quiet)
        self._progress.show(Step(said.phase, said.message, said.done, said.total, said.unit, said.layers))

    def _close_progress(self) -> None:
        if self._progress:
            self._progress.close()
            self._progress = None

    def _give_up(self, number: int) -> Ending:
        """Leave. The end of the connection stops a command that is not kept."""
        if self._keep and self._stream.started:
            self._detach_now()
        return Ending(128 + number, self._machine, None, self._keep and bool(self._machine))

    def _detach_now(self) -> None:
        """Ask to detach, and wait a moment for the answer. Output that arrives meanwhile is lost."""
        deadline = time.monotonic() + DETACH_WAIT_S
        self._stream.detach()
        while not self._stream.finished and (left := deadline - time.monotonic()) > 0:
            self._stream.wait(left)

    def _ending(self) -> Ending:
        if isinstance(self._last, Exited):
            if self._last.code:
                from banger.cli.failure import say_whose

                say_whose(self._last.code)
            return Ending(self._last.code, self._machine, self._last, False)
        assert isinstance(self._last, Detached)
        return Ending(0, self._last.machine or self._machine, None, True, self._exec_id)
