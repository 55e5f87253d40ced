"""The blocking SDK.

    from banger import Client

    client = Client()
    print(client.machines.run("debian-bookworm", ["uname", "-a"]).stdout.decode())

Every call is described once, in `calls`; a line here says only which room it is in. Calls raise
`banger.Error`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from banger import places
from banger.client import calls, results
from banger.client.answers import decode, encode
from banger.client.calls import Call
from banger.client.exchange import open_answer
from banger.client.http1 import lost
from banger.client.results import CompletedRun, Text
from banger.client.start import dial_or_start
from banger.client.stream import begin_stream, collect
from banger.client.transport import dial
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

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, T]:
        describe = self._describe

        @wraps(describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return room.client.perform(describe(*args, **kwargs))

        return method


class Bytes(Generic[P]):
    """As `Method`, for an answer that is bytes without end."""

    def __init__(self, describe: Callable[P, Call[bytes]]) -> None:
        self._describe = describe

    def __get__(self, room: Room, owner: type[Room]) -> Callable[P, Iterator[bytes]]:
        describe = self._describe

        @wraps(describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> Iterator[bytes]:
            return open_answer(room.client.dial, describe(*args, **kwargs), encode).chunks()

        return method


class Room:
    """One noun of the API."""

    def __init__(self, client: Client) -> None:
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

    def run(
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
        return self._finish(calls.RUN_TARGET, first, stdin)

    def exec(
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
        return self._finish(calls.exec_target(name), results.encode_exec(command), stdin)

    def _finish(self, target: str, first: bytes, stdin: bytes) -> CompletedRun:
        return CompletedRun(collect(begin_stream(self.client.dial, target, first), stdin))


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

    def events(self, operation_id: str) -> Iterator[Progress | Operation]:
        """How far it is, again and again; at last the ended operation."""
        answer = open_answer(self.client.dial, calls.operation_events(operation_id), encode)
        return map(results.read_event, answer.lines())

    def wait(self, operation_id: str) -> Operation:
        """The operation when it has succeeded; raises what it failed with."""
        for event in self.events(operation_id):
            if isinstance(event, Operation):
                return results.check_ended(event)
        raise lost("before the operation did")


class System(Room):
    info = Method(calls.system_info)
    shutdown = Method(calls.shutdown)
    disk_usage = Method(calls.disk_usage)
    reconcile = Method(calls.reconcile)

    def events(
        self, since: str = "", machine: str = "", after: int | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """What happened; with `follow` what happens, until the daemon stops. One of kind "journal.gap" says that
        some are missing."""
        call = calls.read_events(since, machine, after, follow)
        return map(results.read_told, open_answer(self.client.dial, call, encode).lines())


class Client:
    """The daemon's API. Holds no connection: each call has its own, so threads may share a client.

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

    def dial(self) -> socket.socket:
        """A new connection to the daemon."""
        return dial_or_start(self.socket_path) if self._start else dial(self.socket_path)

    def perform(self, call: Call[T]) -> T:
        """Carry out a call of `banger.client.calls`."""
        return decode(call, open_answer(self.dial, call, encode).read())
