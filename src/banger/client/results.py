"""The results of the SDK that are not structs of the API, and the requests that the SDK composes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, AnyStr, Generic, Self, TypeVar, cast

from msgspec.structs import asdict

from banger.client.answers import convert, convert_operation, encode
from banger.client.exchange import decode_line
from banger.client.http1 import lost
from banger.client.messages import Exited
from banger.client.stream import Collector
from banger.errors import Error
from banger.model.command import Command, ExecRequest
from banger.model.difference import FileChange
from banger.model.event import Event
from banger.model.machine import MachineSpec, RunRequest
from banger.model.mount import Mount
from banger.model.network import Membership
from banger.model.octets import bytes_of, text_of
from banger.model.operation import Operation, OperationState, Progress
from banger.model.volume import VolumeMount

if TYPE_CHECKING:
    from typing import Unpack

    from banger.client.calls import SpecOptions


# Names in Linux are bytes. Text is sent as UTF-8, with the bytes that `os.fsdecode` put into it.
Text = str | bytes
Env = Mapping[str, Text] | Mapping[bytes, Text] | Mapping[Text, Text]

T = TypeVar("T")
# How much of a command's output a notebook and an error show, in characters.
_SHOWN, _TOLD = 10_000, 500

# What is told each step of an operation.
Heard = Callable[[Progress], object]


class CompletedRun(Generic[AnyStr]):
    """A command that has ended: its whole output, as bytes or as text, and its exit code (128+N for signal N, 124 for a
    time-out)."""

    def __init__(self, stdout: AnyStr, stderr: AnyStr, exited: Exited | None) -> None:
        if exited is None:
            raise lost("before the command did")
        self.stdout: AnyStr = stdout
        self.stderr: AnyStr = stderr
        self.exit_code = exited.code
        self.signal = exited.signal
        self.timed_out = exited.timed_out
        self.timings_ms = exited.timings_ms
        self._exited = exited

    def __repr__(self) -> str:
        unit = "characters" if isinstance(self.stdout, str) else "bytes"
        sizes = f"{len(self.stdout)} {unit} of stdout, {len(self.stderr)} of stderr"
        return f"<CompletedRun exit code {self.exit_code}, {sizes}>"

    def _repr_html_(self) -> str:
        """For notebooks: the exit code, and the end of what the command wrote."""
        import html

        parts = (("", self.stdout), ("color:#b00", self.stderr))
        shown = "".join(
            f'<pre style="{style}">{html.escape(as_text(output)[-_SHOWN:])}</pre>'
            for style, output in parts
            if output
        )
        return f"<div>exit code {self.exit_code}{', timed out' if self.timed_out else ''}</div>{shown}"

    def decoded(self) -> CompletedRun[str]:
        """The same with its output as text; bytes that are not UTF-8 become U+FFFD."""
        return CompletedRun(as_text(self.stdout), as_text(self.stderr), self._exited)

    def check(self) -> Self:
        """Return the run itself if its exit code is 0. Raises `command_failed` otherwise, or `timeout`."""
        if self.timed_out:
            raise Error(
                "timeout", "the command was killed at its time limit", "give it more time (timeout_s)"
            )
        if self.exit_code:
            said = as_text(self.stderr).strip()[-_TOLD:]
            details: dict[str, object] = {"exit_code": self.exit_code, "signal": self.signal}
            raise Error(
                "command_failed", f"exit code {self.exit_code}" + (f": {said}" if said else ""), "", details
            )
        return self


def as_text(output: str | bytes) -> str:
    return output if isinstance(output, str) else output.decode("utf-8", "replace")


def as_bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")


def completed(collector: Collector) -> CompletedRun[bytes]:
    """What a stream has said to its end."""
    return CompletedRun(collector.stdout, collector.stderr, collector.exited)


def plan_command(
    argv: Sequence[Text] | Text,
    *,
    shell: bool = False,
    stdin: bool = False,
    env: Env | None = None,
    cwd: Text = "",
    user: Text = "",
    timeout_s: float = 0,
    tty: tuple[int, int] | None = None,
) -> Command:
    """A command. With `shell`, `argv` is one text for the guest's `sh -c`. `tty` is the size of its terminal, rows and
    columns; None for none. Raises `bad_request`."""
    return Command(
        argv=plan_argv(argv, shell),
        env={text_of(name): text_of(value) for name, value in (env or {}).items()},
        cwd=text_of(cwd),
        user=text_of(user),
        stdin=stdin,
        timeout_s=timeout_s,
        tty=tty is not None,
        rows=tty[0] if tty else 24,
        cols=tty[1] if tty else 80,
    )


def plan_argv(argv: Sequence[Text] | Text, shell: bool) -> list[str]:
    """The arguments of a command. One text is not a list of its letters. Raises `bad_request`."""
    if isinstance(argv, str | bytes):
        if not shell:
            raise Error(
                "bad_request",
                "a command is a list of its arguments, not one text",
                'write ["echo", "hi"], or pass shell=True',
            )
        return ["/bin/sh", "-c", text_of(argv)]
    if shell:
        raise Error("bad_request", "with shell=True a command is one text", 'write "echo hi"')
    return [text_of(argument) for argument in argv]


def made_by(ended: Operation[Any], begun: Operation[T]) -> T:
    """What an operation made. Raises the error that it failed with."""
    return cast("T", check_ended(ended).result)


def encode_exec(command: Command) -> bytes:
    """The first message of an exec stream."""
    return encode(ExecRequest(command=command))


def encode_applet(applet: str, argv: Sequence[str]) -> bytes:
    """The first message of a stream of a program of the agent, which runs as root."""
    return encode({"applet": applet, "argv": [text_of(word) for word in argv]})


def encode_run(image: str, command: Command, options: SpecOptions) -> bytes:
    """The first message of a run stream. The machine is deleted afterwards unless `remove=False`."""
    chosen: SpecOptions = {"remove": True, **options}
    return encode(RunRequest(spec=prepare_spec(image, command, **chosen)))


def encode_attach(exec_id: int | None) -> bytes:
    """The first message of an attach stream; None means the main command."""
    return encode({} if exec_id is None else {"exec": exec_id})


def prepare_spec(image: str, command: Command | None, **options: Unpack[SpecOptions]) -> MachineSpec:
    given: dict[str, Any] = {**options}
    networks = given.pop("networks", [])
    given["networks"] = [one if isinstance(one, Membership) else convert(one, Membership) for one in networks]
    given["mounts"] = [_prepare_mount(mount) for mount in given.pop("mounts", [])]
    volumes = given.pop("volumes", [])
    given["volumes"] = [one if isinstance(one, VolumeMount) else convert(one, VolumeMount) for one in volumes]
    return MachineSpec(image=image, command=command, **given)


def _prepare_mount(mount: Mount | Mapping[str, Any]) -> Mount:
    """A source is meant as this program would open it."""
    given: dict[str, Any] = dict(asdict(mount) if isinstance(mount, Mount) else mount)
    given["source"] = os.path.abspath(os.path.expanduser(os.fspath(given.get("source", ""))))
    return convert(given, Mount)


def read_event(line: bytes) -> Progress | Operation[Any]:
    """A line of an operation's events: a step, or at last the ended operation."""
    event = decode_line(line)
    if "operation" in event:
        return convert_operation(event["operation"])
    return convert(event, Progress)


def read_told(line: bytes) -> Event:
    """A line of the journal."""
    return convert(decode_line(line), Event)


def read_change(line: bytes) -> FileChange:
    """A line of a comparison. Bytes of the path that are not UTF-8 are as `os.fsdecode` gives them."""
    change = convert(decode_line(line), FileChange)
    change.path = os.fsdecode(bytes_of(change.path))
    return change


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
