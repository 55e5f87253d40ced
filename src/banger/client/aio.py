"""The SDK for asyncio: the same calls, results and errors as `sync`, and the same codecs.

async with asyncio.TaskGroup() as group:
    for word in words:
        group.create_task(client.machines.run("debian-bookworm", ["echo", word]))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from banger import places
from banger.client import calls, results
from banger.client.aio_transport import AsyncAnswer, Connection, open_stream, request
from banger.client.answers import decode, encode
from banger.client.calls import Call
from banger.client.exchange import plan_body
from banger.client.http1 import lost, may_ask_again
from banger.client.results import CompletedRun, Text
from banger.client.start import dial_or_start
from banger.client.transport import dial, silent
from banger.errors import Error
from banger.model.event import Event
from banger.model.operation import Operation, Progress

if TYPE_CHECKING:
    from typing import Unpack

    from banger.client.calls import SpecOptions

P = ParamSpec("P")
T = TypeVar("T")


class Method(Generic[P, T]):
    """A call of the API as a method of a room."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, Coroutine[Any, Any, T]]:
        describe = self._describe

        @wraps(describe)
        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return await room.client.perform(describe(*args, **kwargs))

        return method


class Bytes(Generic[P]):
    """As `Method`, for an answer that is bytes without end."""

    def __init__(self, describe: Callable[P, Call[bytes]]) -> None:
        self._describe = describe

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, AsyncIterator[bytes]]:
        describe = self._describe

        @wraps(describe)
        async def method(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[bytes]:
            answer = await room.client.open(describe(*args, **kwargs))
            async for piece in answer.chunks():
                yield piece

        return method


class Room:
    """One noun of the API."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client


class Machines(Room):
    create = Method(calls.create_machine)
    list = Method(calls.list_machines)
    get = Method(calls.get_machine)
    delete = Method(calls.delete_machine)
    start = Method(calls.start_machine)
    stop = Method(calls.stop_machine)
    restart = Method(calls.restart_machine)
    kill = Method(calls.kill_machine)
    pause = Method(calls.pause_machine)
    resume = Method(calls.resume_machine)
    snapshot = Method(calls.snapshot_machine)
    restore = Method(calls.restore_machine)
    fork = Method(calls.fork_machine)
    commit = Method(calls.commit_machine)
    wait = Method(calls.wait_machine)
    health = Method(calls.machine_health)
    ping = Method(calls.ping_machine)
    stats = Method(calls.machine_stats)
    ports = Method(calls.machine_ports)
    logs = Bytes(calls.machine_logs)
    execs = Method(calls.list_execs)
    get_exec = Method(calls.get_exec)
    signal_exec = Method(calls.signal_exec)
    wait_exec = Method(calls.wait_exec)
    exec_detached = Method(calls.exec_detached)
    get_files = Bytes(calls.get_files)
    put_files = Method(calls.put_files)
    stat_file = Method(calls.stat_file)

    async def run(
        self,
        image: str,
        argv: Sequence[Text] = (),
        *,
        stdin: bytes = b"",
        env: Mapping[Text, Text] | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
        **options: Unpack[SpecOptions],
    ) -> CompletedRun:
        """Run a command in a new machine, which is removed afterwards unless `remove=False`."""
        command = results.plan_command(argv, stdin, env, cwd, user, timeout_s)
        first = results.encode_run(image, command, options)
        return await self._finish(calls.RUN_TARGET, first, stdin)

    async def exec(
        self,
        name: str,
        argv: Sequence[Text] = (),
        *,
        stdin: bytes = b"",
        env: Mapping[Text, Text] | None = None,
        cwd: Text = "",
        user: Text = "",
        timeout_s: float = 0,
    ) -> CompletedRun:
        """Run a command in a running machine."""
        command = results.plan_command(argv, stdin, env, cwd, user, timeout_s)
        return await self._finish(calls.exec_target(name), results.encode_exec(command), stdin)

    async def _finish(self, target: str, first: bytes, stdin: bytes) -> CompletedRun:
        stream = await open_stream(await self.client.connect(), target, first)
        return CompletedRun(await stream.collect(stdin))


class Images(Room):
    list = Method(calls.list_images)
    get = Method(calls.get_image)
    delete = Method(calls.delete_image)
    pull = Method(calls.pull_image)
    import_tar = Method(calls.import_image)
    tag = Method(calls.tag_image)
    register = Method(calls.register_image)
    export = Bytes(calls.export_image)
    prune = Method(calls.prune_images)
    prune_blobs = Method(calls.prune_blobs)
    offers = Method(calls.list_image_offers)
    log_in = Method(calls.log_in)
    log_out = Method(calls.log_out)


class Catalogs(Room):
    list = Method(calls.list_catalogs)
    add = Method(calls.add_catalog)
    refresh = Method(calls.refresh_catalogs)
    remove = Method(calls.remove_catalog)
    publish = Method(calls.publish)
    verify = Method(calls.verify_catalog)


class Kernels(Room):
    list = Method(calls.list_kernels)
    get = Method(calls.get_kernel)
    delete = Method(calls.delete_kernel)
    pull = Method(calls.pull_kernel)
    offers = Method(calls.list_kernel_offers)


class Templates(Room):
    list = Method(calls.list_templates)
    get = Method(calls.get_template)
    delete = Method(calls.delete_template)
    prune = Method(calls.prune_templates)


class Snapshots(Room):
    list = Method(calls.list_snapshots)
    get = Method(calls.get_snapshot)
    delete = Method(calls.delete_snapshot)
    export = Bytes(calls.export_snapshot)
    import_file = Method(calls.import_snapshot)


class Operations(Room):
    list = Method(calls.list_operations)
    get = Method(calls.get_operation)
    cancel = Method(calls.cancel_operation)

    async def events(self, operation_id: str) -> AsyncIterator[Progress | Operation]:
        """How far it is, again and again; at last the ended operation."""
        answer = await self.client.open(calls.operation_events(operation_id))
        async for line in answer.lines():
            yield results.read_event(line)

    async def wait(self, operation_id: str) -> Operation:
        """The operation when it has succeeded; raises what it failed with."""
        async for event in self.events(operation_id):
            if isinstance(event, Operation):
                return results.check_ended(event)
        raise lost("before the operation did")


class System(Room):
    info = Method(calls.system_info)
    shutdown = Method(calls.shutdown)
    disk_usage = Method(calls.disk_usage)
    reconcile = Method(calls.reconcile)

    async def events(
        self, since: str = "", machine: str = "", after: int | None = None, follow: bool = False
    ) -> AsyncIterator[Event]:
        """What happened; with `follow` what happens, until the daemon stops. One of kind "journal.gap" says that
        some are missing."""
        answer = await self.client.open(calls.read_events(since, machine, after, follow))
        async for line in answer.lines():
            yield results.read_told(line)


class AsyncClient:
    """The daemon's API for asyncio. Holds no connection: each call has its own.

    `start` says whether a daemon is started where none runs; one at a path of your own never is.
    """

    def __init__(self, socket_path: str = "", start: bool = True) -> None:
        self.socket_path = socket_path or places.socket_path()
        self._start = start
        self.machines = Machines(self)
        self.images = Images(self)
        self.catalogs = Catalogs(self)
        self.kernels = Kernels(self)
        self.templates = Templates(self)
        self.snapshots = Snapshots(self)
        self.operations = Operations(self)
        self.system = System(self)

    async def connect(self) -> Connection:
        """A new connection to the daemon; starting one happens in a thread."""
        found = await asyncio.to_thread(dial_or_start if self._start else dial, self.socket_path)
        return await asyncio.open_unix_connection(sock=found)

    async def open(self, call: Call[object]) -> AsyncAnswer:
        """The call's answer, checked for the error it may carry, with the body still to read. What only reads is sent
        once more when a daemon ended instead of answering."""
        try:
            answer = await self._send(call)
        except Error as exc:
            if not may_ask_again(call.method, exc):
                raise
            answer = await self._send(call)
        return await answer.checked()

    async def _send(self, call: Call[object]) -> AsyncAnswer:
        body, content_type = plan_body(call, encode)
        connection = await self.connect()
        return await request(connection, call.method, call.target, body, content_type, call.key)

    async def perform(self, call: Call[T]) -> T:
        """Carry out a call of `banger.client.calls`."""
        try:
            async with asyncio.timeout(call.silence_s):
                return decode(call, await (await self.open(call)).read())
        except TimeoutError as exc:
            raise silent(call.silence_s or 0) from exc
