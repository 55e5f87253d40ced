"""The results of the SDK that are not structs of the API, and the requests that the SDK composes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from banger.client.answers import convert, convert_operation, encode
from banger.client.exchange import decode_line
from banger.client.http1 import lost
from banger.client.stream import Collector
from banger.errors import Error
from banger.model.command import Command, ExecRequest
from banger.model.event import Event
from banger.model.machine import MachineSpec, RunRequest
from banger.model.network import Membership
from banger.model.octets import text_of
from banger.model.operation import Operation, OperationState, Progress

if TYPE_CHECKING:
    from typing import Unpack

    from banger.client.calls import SpecOptions


# Names in Linux are bytes. Text is sent as UTF-8, with the bytes that `os.fsdecode` put into it.
Text = str | bytes


class CompletedRun:
    """A command that has ended: its whole output as bytes, and its exit code (128+N for signal N, 124 for a
    time-out)."""

    def __init__(self, collector: Collector) -> None:
        exited = collector.exited
        if exited is None:
            raise lost("before the command did")
        self.stdout = collector.stdout
        self.stderr = collector.stderr
        self.exit_code = exited.code
        self.signal = exited.signal
        self.timed_out = exited.timed_out
        self.timings_ms = exited.timings_ms

    def __repr__(self) -> str:
        sizes = f"{len(self.stdout)} bytes of stdout, {len(self.stderr)} of stderr"
        return f"<CompletedRun exit code {self.exit_code}, {sizes}>"

    def check(self) -> CompletedRun:
        """Return the run itself if its exit code is 0. Raises `tool_failed` otherwise."""
        if self.exit_code:
            text = self.stderr.decode("utf-8", "replace").strip()
            raise Error("tool_failed", f"exit code {self.exit_code}: {text[-500:]}")
        return self


def plan_command(
    argv: Sequence[Text],
    stdin: bytes = b"",
    env: Mapping[Text, Text] | None = None,
    cwd: Text = "",
    user: Text = "",
    timeout_s: float = 0,
) -> Command:
    """A command without a terminal. Its stdin is open only if there is data for it."""
    return Command(
        argv=[text_of(argument) for argument in argv],
        env={text_of(name): text_of(value) for name, value in (env or {}).items()},
        cwd=text_of(cwd),
        user=text_of(user),
        stdin=bool(stdin),
        timeout_s=timeout_s,
    )


def encode_exec(command: Command) -> bytes:
    """The first message of an exec stream."""
    return encode(ExecRequest(command=command))


def encode_run(image: str, command: Command, options: SpecOptions) -> bytes:
    """The first message of a run stream. The machine is deleted afterwards unless `remove=False`."""
    chosen: SpecOptions = {"remove": True, **options}
    return encode(RunRequest(spec=plan_spec(image, command, **chosen)))


def plan_spec(image: str, command: Command | None, **options: Unpack[SpecOptions]) -> MachineSpec:
    given: dict[str, Any] = {**options}
    networks = given.pop("networks", [])
    given["networks"] = [one if isinstance(one, Membership) else convert(one, Membership) for one in networks]
    return MachineSpec(image=image, command=command, **given)


def read_event(line: bytes) -> Progress | Operation[Any]:
    """A line of an operation's events: a step, or at last the ended operation."""
    event = decode_line(line)
    if "operation" in event:
        return convert_operation(event["operation"])
    return convert(event, Progress)


def read_told(line: bytes) -> Event:
    """A line of the journal."""
    return convert(decode_line(line), Event)


def check_ended(operation: Operation[Any]) -> Operation[Any]:
    """Return the operation itself if it succeeded. Raises the error that it failed with."""
    if operation.error is not None:
        error = operation.error
        raise Error.from_dict(
            {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details}
        )
    if operation.state is OperationState.CANCELLED:
        raise Error("cancelled", f"operation {operation.id} was cancelled")
    return operation
