"""The journal by way of the API, the SDK and the command line, as one."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, get_args

import pytest
import uvicorn

from banger import AsyncClient, Client
from banger.cli.dispatch import dispatch
from banger.cli.verbs.events import moment
from banger.errors import Error
from banger.machines.keep.events import GAP, Journal, Wish
from banger.machines.keep.registry import Registry
from banger.model.event import Event
from banger.model.healthcheck import HealthState
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.server.app import create_app
from banger.server.protocol import BoundedProtocol
from banger.store.store import Store
from tests.support.home import wait_until

LIMIT_S = 20
T = TypeVar("T")
Capture = pytest.CaptureFixture[str]


class CountingJournal(Journal):
    """Who reads it has a place in it as soon as `readers` has grown."""

    readers = 0

    async def read(self, wish: Wish) -> AsyncIterator[list[Event]]:
        self.readers += 1
        async for page in super().read(wish):
            yield page


class Daemon:
    """The application with a journal and a registry of its own, in a thread. `do` runs something in its loop."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "api.sock")
        self._store_path = directory / "s.db"
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._up.wait(LIMIT_S)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        store = Store(self._store_path)
        self.journal = CountingJournal(store.events)
        self.registry = Registry(store, self.journal.tell)
        self.registry.add(machine("0123456789ab", "dev"))
        engine: Any = SimpleNamespace(journal=self.journal, registry=self.registry)
        config = uvicorn.Config(
            create_app(engine), uds=self.path, http=BoundedProtocol, log_config=None, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        starting = asyncio.create_task(self._server.serve())
        async with asyncio.timeout(LIMIT_S):
            while not self._server.started:
                await asyncio.sleep(0.01)
        self._up.set()
        await starting
        store.close()

    def do(self, work: Callable[..., T], *arguments: object) -> T:
        async def call() -> T:
            return work(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    def tell(self, target: str, message: str = "x") -> None:
        self.do(self.journal.tell, "machine.running", target, message)

    def tasks(self) -> int:
        return self.do(lambda: len(asyncio.all_tasks()))

    def wait_for_readers(self, count: int) -> None:
        wait_until(lambda: self.journal.readers >= count, LIMIT_S, f"{count} read the journal")

    def close(self) -> None:
        self.do(self.journal.close)
        self._server.should_exit = True
        self._thread.join(10)


def machine(id_: str, name: str) -> Machine:
    return Machine(id=id_, name=name, state=MachineState.CREATED, spec=MachineSpec(image="x"), created="now")


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    running = Daemon(tmp_path)
    monkeypatch.setenv("BANGER_SOCKET", running.path)
    yield running
    running.close()


def messages(found: Iterator[Event]) -> list[str]:
    return [event.message for event in found]


def test_what_happened_is_read_by_machine_name_or_id(daemon: Daemon) -> None:
    for target in ("machine/web", "machine/dev", "snapshot/dev:one"):
        daemon.tell(target, target)
    client = Client(daemon.path)
    told = ["dev was created from x", "machine/dev", "snapshot/dev:one"]
    assert messages(client.system.events(machine="dev")) == told
    assert messages(client.system.events(machine="0123456789ab")) == told
    assert messages(client.system.events(after=2)) == told[1:]
    assert messages(client.system.events(machine="gone")) == []


def test_a_moment_may_have_any_offset(daemon: Daemon) -> None:
    client = Client(daemon.path)
    assert messages(client.system.events(since="2020-01-01T00:00:00+05:00")) == ["dev was created from x"]
    assert messages(client.system.events(since="2120-01-01T00:00:00Z")) == []


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=2026-01-01T00:00:00", "after=-1", "follow=maybe"]
)
def test_what_cannot_be_meant_is_refused(daemon: Daemon, query: str) -> None:
    from banger.client.transport import dial, request

    answer = request(dial(daemon.path), "GET", f"/v1/events?{query}")
    assert answer.status == 400
    with pytest.raises(Error) as caught:
        answer.checked()
    assert caught.value.code == "bad_request"


def test_both_clients_follow_until_the_daemon_stops(daemon: Daemon) -> None:
    async def follow() -> list[str]:
        return [e.message async for e in AsyncClient(daemon.path, start=False).system.events(follow=True)]

    found: list[list[str]] = []
    blocking = Client(daemon.path, start=False).system
    threads = [
        threading.Thread(target=lambda: found.append(messages(blocking.events(follow=True)))),
        threading.Thread(target=lambda: found.append(asyncio.run(follow()))),
    ]
    for thread in threads:
        thread.start()
    daemon.wait_for_readers(2)
    daemon.tell("machine/dev", "first")
    daemon.tell("machine/dev", "second")
    daemon.do(daemon.journal.close)
    for thread in threads:
        thread.join(10)
    assert found == [["first", "second"]] * 2


def test_a_follower_that_leaves_is_forgotten_at_once(daemon: Daemon) -> None:
    from banger.client import calls
    from banger.client.answers import encode
    from banger.client.exchange import open_answer

    idle = daemon.tasks()
    answer = open_answer(Client(daemon.path).dial, calls.system_events(follow=True), encode)
    assert daemon.tasks() > idle
    answer.close()
    wait_until(lambda: daemon.tasks() <= idle, LIMIT_S, "the daemon forgets it")


def test_a_line_an_event_is_printed(daemon: Daemon, capsys: Capture) -> None:
    daemon.tell("machine/dev", "dev says \x1b[2J")
    assert dispatch(["events"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split("  ", 1)[1] == "machine.created     dev was created from x"
    assert second.endswith("machine.running     dev says \\x1b[2J")
    assert dispatch(["system", "events", "--machine", "dev", "--since", "1h", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]


def test_the_command_line_follows_to_the_daemons_end(daemon: Daemon, capsys: Capture) -> None:
    def end() -> None:
        try:
            daemon.wait_for_readers(1)
            daemon.do(daemon.journal.tell, "daemon.stopped", "daemon", "the daemon stops")
        finally:
            daemon.do(daemon.journal.close)

    ending = threading.Thread(target=end)
    ending.start()
    assert dispatch(["events", "--follow", "--since", "1h"]) == 0
    ending.join()
    assert [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "machine.created",
        "daemon.stopped",
    ]


def test_a_daemon_that_died_is_no_end(daemon: Daemon, capsys: Capture) -> None:
    daemon.do(daemon.journal.close)
    assert dispatch(["events", "--follow"]) == 125
    assert "before it was stopped" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T12:00", "2026-01-31T12:00:00+02:00", "10m", "90"])
def test_a_moment_is_written_in_many_ways(text: str) -> None:
    assert moment(text).endswith("Z") and len(moment(text)) == len("2026-01-31T12:00:00.000Z")


def test_a_moment_that_is_none_is_a_mistake_of_use(capsys: Capture) -> None:
    assert dispatch(["events", "--since", "teatime"]) == 2
    assert "neither a time" in capsys.readouterr().err


def test_every_kind_that_is_told_is_documented() -> None:
    root = Path(__file__).parents[2]
    documented = set(re.findall(r"`([a-z]+\.[a-z]+)`", (root / "docs/events.md").read_text()))
    source = "".join(path.read_text() for path in (root / "src/banger").rglob("*.py"))
    told = set(re.findall(r'tell\(\s*"([a-z]+\.[a-z]+)"', source))
    told |= {f"machine.{state.value}" for state in MachineState} | {GAP}
    told |= {f"machine.{health}" for health in get_args(HealthState) if health}
    told |= {f"snapshot.{what}" for what in re.findall(r'\.tell\(\s*"([a-z]+)", record', source)}
    told |= {f"image.{how}" for how in ("pulled", "made")} | {"store.damaged"}
    told |= {"machine.healthy", "machine.unhealthy"}
    assert documented == told
