"""The client of the SDK (for asyncio).

`calls` describes each call; the attributes of the client group the calls by noun. Calls raise `banger.Error`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from banger.client import calls, results
from banger.client.aio_caller import AsyncCaller
from banger.client.aio_front import AsyncFront
from banger.client.aio_methods import begin
from banger.client.aio_rooms import (
    AccessVerbs,
    CatalogsVerbs,
    ImagesVerbs,
    KernelsVerbs,
    MachinesVerbs,
    NetworksVerbs,
    OperationsVerbs,
    SecretsVerbs,
    SnapshotsVerbs,
    SystemVerbs,
    TemplatesVerbs,
    TokensVerbs,
    VolumesVerbs,
)
from banger.client.aio_stream import collect
from banger.client.aio_waiting import watch, watch_to_end
from banger.client.results import CompletedRun, Env, Heard, Text
from banger.client.way import Way
from banger.model.event import Event
from banger.model.operation import Operation, Progress
from banger.model.secret import Secret

if TYPE_CHECKING:
    from typing import Unpack

    from banger.client.calls import SpecOptions
    from banger.model.difference import FileChange

T = TypeVar("T")


class Machines(MachinesVerbs):
    async def run(
        self,
        image: str,
        argv: Sequence[Text] | Text = (),
        *,
        shell: bool = False,
        stdin: Text = b"",
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
        **options: Unpack[SpecOptions],
    ) -> CompletedRun[bytes]:
        """Run a command in a new machine, and delete the machine afterwards unless `remove=False`.

        `timeout_s` limits the command, in seconds; 0 means no limit. `options` are the other fields of `MachineSpec`.
        Raises `banger.Error`; an exit code other than 0 is not an error (see `CompletedRun.check`).
        """
        command = results.plan_command(
            argv, shell=shell, stdin=bool(stdin), env=env, cwd=cwd, user=user, timeout_s=timeout_s
        )
        first = results.encode_run(image, command, options)
        return await self._finish(calls.machines_run_target(), first, stdin)

    async def exec(
        self,
        name: str,
        argv: Sequence[Text] | Text = (),
        *,
        shell: bool = False,
        stdin: Text = b"",
        env: Env | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
    ) -> CompletedRun[bytes]:
        """Run a command in a running machine. `name` is its name or id; the rest is as for `run`."""
        command = results.plan_command(
            argv, shell=shell, stdin=bool(stdin), env=env, cwd=cwd, user=user, timeout_s=timeout_s
        )
        return await self._finish(calls.machines_exec_target(name), results.encode_exec(command), stdin)

    async def diff(self, name: str) -> list[FileChange]:
        """What changed on a machine's disk since it was made from its image. `name` is its name or id."""
        answer = await self.client.open(calls.machines_diff(name))
        return [results.read_change(line) async for line in answer.lines()]

    async def _finish(self, target: str, first: bytes, stdin: Text) -> CompletedRun[bytes]:
        stream = await begin(self.client, target, first)
        return results.completed(await collect(stream, results.as_bytes(stdin)))


class Operations(OperationsVerbs):
    def events(self, operation_id: str) -> AsyncIterator[Progress | Operation[Any]]:
        """The steps of an operation as they happen, and at last the ended operation."""
        return watch(self.client, operation_id)

    @overload
    async def wait(
        self, operation: Operation[T], progress: Heard | None = None, timeout_s: float | None = None
    ) -> Operation[T]: ...

    @overload
    async def wait(
        self, operation: str, progress: Heard | None = None, timeout_s: float | None = None
    ) -> Operation[Any]: ...

    async def wait(
        self, operation: Operation[T] | str, progress: Heard | None = None, timeout_s: float | None = None
    ) -> Operation[Any]:
        """Wait until the operation has succeeded, and return it; `progress` is told each step. Raises the error that
        the operation failed with."""
        operation_id = operation if isinstance(operation, str) else operation.id
        return results.check_ended(await watch_to_end(self.client, operation_id, progress, timeout_s))


class System(SystemVerbs):
    async def events(
        self, since: str = "", machine: str = "", after: int | None = None, follow: bool = False
    ) -> AsyncIterator[Event]:
        """Events of the past; with `follow`, also new events until the daemon stops. An event of kind "journal.gap"
        means that some events are missing."""
        answer = await self.client.open(calls.system_events(since, machine, after, follow))
        async for line in answer.lines():
            yield results.read_told(line)


class Secrets(SecretsVerbs):
    async def set(
        self, name: str, value: Text, labels: Mapping[str, str] | None = None, *, create: bool = False
    ) -> Secret:
        """Set a secret, at most 512 KiB of any bytes; with `create` only if there is none of the name. Machines that
        run keep the value that they have. No verb gives a value back."""
        words = [f"{label}={said}" for label, said in (labels or {}).items()]
        return await self.put(name, [results.as_bytes(value)], create, words)


class AsyncClient(AsyncCaller, AsyncFront):
    """The API of the daemon (for asyncio). Each call has a connection of its own.

    With `start`, the client starts a daemon if none runs; it never starts a daemon for a socket path of your own.
    `host` is the place of another daemon instead, such as "https://10.0.0.7:8040" or "unix:///run/banger.sock"; then
    `token` is from `banger token create`, and `ca_file` has the certificate to trust, if this host does not trust it
    anyway. What is left out is as BANGER_HOST, BANGER_TOKEN, BANGER_TOKEN_FILE and BANGER_CA_FILE say.
    `timeout_s` is the time in seconds that each call may take, and that a stream (logs, files, events) may take to
    begin; runs and execs have their own limits. Without it, calls that only read wait for a minute, and all other
    calls wait until the daemon answers or ends. A call that takes too long raises `timeout`.
    """

    def __init__(
        self,
        socket_path: str = "",
        start: bool = True,
        timeout_s: float | None = None,
        *,
        host: str | Way = "",
        token: str = "",
        ca_file: str = "",
    ) -> None:
        super().__init__(socket_path, start, timeout_s, host, token, ca_file)
        self.machines = Machines(self)
        self.images = ImagesVerbs(self)
        self.catalogs = CatalogsVerbs(self)
        self.kernels = KernelsVerbs(self)
        self.templates = TemplatesVerbs(self)
        self.snapshots = SnapshotsVerbs(self)
        self.networks = NetworksVerbs(self)
        self.volumes = VolumesVerbs(self)
        self.secrets = Secrets(self)
        self.access = AccessVerbs(self)
        self.tokens = TokensVerbs(self)
        self.operations = Operations(self)
        self.system = System(self)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing stays open: each call has a connection of its own."""

    def with_timeout(self, timeout_s: float | None) -> AsyncClient:
        """A client of the same daemon with another time limit: `client.with_timeout(5).machines.list()`."""
        return AsyncClient(self.socket_path, self._start, timeout_s, host=self._way or "")
