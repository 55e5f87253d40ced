"""Templates, snapshots, forks and commits over the API: what reaches the engine and what comes back from it."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import uvicorn

from banger import Client
from banger.client.call import Call
from banger.errors import Error
from banger.machines.copies import commits, forks, snapshots
from banger.machines.keep.operations import Operations
from banger.model.image import Image, Pruned
from banger.model.machine import Machine
from banger.model.operation import Operation
from banger.model.template import Snapshot, Template
from banger.server.app import create_app
from banger.server.protocol import BoundedProtocol
from tests.unit.test_client_stand_in import IMAGE, MACHINE, SNAPSHOT, TEMPLATE

DEV = msgspec.convert(MACHINE, Machine)
MADE = msgspec.convert(IMAGE, Image)
KEPT = msgspec.convert(SNAPSHOT, Snapshot)
Asked = list[tuple[Any, ...]]


class NoTable:
    """Operations that are kept nowhere."""

    def put(self, operation: object) -> None: ...

    def all(self) -> list[Any]:
        return []

    def prune(self, ended_before: str, keep: int) -> None: ...


class Templates:
    """A library of one that says what it was asked."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.known = [msgspec.convert(TEMPLATE, Template)]

    async def get(self, prefix: str) -> Template:
        for template in self.known:
            if template.id.startswith(prefix):
                return template
        raise Error("template_not_found", f"no template {prefix!r}", "banger template list")

    async def delete(self, prefix: str) -> None:
        self.asked.append(("delete", prefix))
        self.known.clear()

    async def prune(self, *, everything: bool, dry_run: bool) -> Pruned:
        self.asked.append(("prune", everything, dry_run))
        if not dry_run:
            self.known.clear()
        return Pruned(count=1, freed_bytes=2, directory="/t", dry_run=dry_run)

    async def list(self) -> Any:
        return [*self.known]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The engine's verbs put down what they are asked, and do nothing."""
    told: Asked = []

    async def snapshot(
        library: object, lives: object, makings: object, machine: Machine, tag: str, report: Any
    ) -> Snapshot:
        report("memory", "", 1, 2, "bytes")
        told.append(("snapshot", machine.name, tag))
        return KEPT

    async def restore(
        library: object, lives: object, makings: object, name: str, tag: str, report: object, owner: int
    ) -> Machine:
        told.append(("restore", name, tag))
        assert owner == os.geteuid()
        return DEV

    async def fork(
        lives: object,
        makings: object,
        machine: Machine,
        count: int,
        name: str,
        report: object,
        *,
        with_secrets: bool,
    ) -> list[Machine]:
        assert not with_secrets
        told.append(("fork", machine.name, count, name))
        return [DEV] * count

    async def commit(lives: object, images: object, machine: Machine, image: str, report: object) -> Image:
        told.append(("commit", machine.name, image))
        return MADE

    monkeypatch.setattr(snapshots, "snapshot", snapshot)
    monkeypatch.setattr(snapshots, "restore", restore)
    monkeypatch.setattr(forks, "fork", fork)
    monkeypatch.setattr(commits, "commit", commit)
    return told


class Snapshots:
    """A library of one."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    async def export(self, machine: str, tag: str) -> AsyncIterator[bytes]:
        if tag != "one":
            raise Error("snapshot_not_found", f"no snapshot {machine}:{tag}", "banger snapshot list")
        for _ in range(3):
            yield b"frozen" * 10_000

    async def take_in(self, chunks: AsyncIterable[bytes], machine: str, tag: str) -> Snapshot:
        self.asked.append(("import", machine, tag, b"".join([chunk async for chunk in chunks])))
        return KEPT

    async def list(self, machine: str = "") -> Any:
        self.asked.append(("find", machine, ""))
        return [KEPT]

    async def find(self, machine: str, tag: str) -> Snapshot:
        self.asked.append(("find", machine, tag))
        return KEPT


@pytest.fixture
def client(tmp_path: Path, asked: Asked) -> Iterator[Client]:
    """The SDK at the real application, whose engine is not."""
    path = str(tmp_path / "api.sock")
    table: Any = NoTable()
    engine: Any = SimpleNamespace(
        makings=SimpleNamespace(templates=Templates(asked), images=None),
        snapshots=Snapshots(asked),
        lives=None,
        operations=Operations(table),
        registry=SimpleNamespace(find=find_machine),
    )
    server = uvicorn.Server(
        uvicorn.Config(create_app(engine), uds=path, http=BoundedProtocol, log_config=None, lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.01)
        yield Client(path)
    finally:
        server.should_exit = True
        thread.join(10)


def find_machine(name: str) -> Machine:
    if name != DEV.name:
        raise Error("machine_not_found", f"no machine {name!r}")
    return DEV


def test_templates_are_asked_for_by_the_beginning_of_their_id(client: Client, asked: Asked) -> None:
    found = client.templates.get("4be1")
    assert (found.shape.cpus, client.templates.list()) == (2, [found])
    with pytest.raises(Error) as caught:
        client.templates.get("beef")
    assert (caught.value.code, caught.value.hint) == ("template_not_found", "banger template list")
    client.templates.delete("4be1")
    assert asked == [("delete", "4be1")]


def test_a_prune_says_what_it_would_do_and_does_it(client: Client, asked: Asked) -> None:
    assert client.templates.prune(dry_run=True).dry_run
    assert client.templates.prune(all=True).count == 1
    assert asked == [("prune", False, True), ("prune", True, False)]


def test_verbs_are_operations_with_their_results(client: Client, asked: Asked) -> None:
    begun: list[Operation[Any]] = [
        client.machines.snapshot("dev", "one"),
        client.machines.restore("gone", "one"),
        client.machines.fork("dev", 2, "w"),
        client.machines.commit("dev", "team/app:1"),
    ]
    assert [(o.kind, o.target) for o in begun] == [
        ("snapshot", "machine/dev"),
        ("restore", "machine/gone"),
        ("fork", "machine/dev"),
        ("commit", "machine/dev"),
    ]
    ended = [client.operations.wait(operation.id) for operation in begun]
    assert [one.made for one in ended] == ["Snapshot", "Machine", "list[Machine]", "Image"]
    assert [one.result for one in ended] == [KEPT, DEV, [DEV, DEV], MADE]
    assert asked == [
        ("snapshot", "dev", "one"),
        ("find", "gone", "one"),
        ("restore", "gone", "one"),
        ("fork", "dev", 2, "w"),
        ("commit", "dev", "team/app:1"),
    ]


def test_a_fork_without_a_body_is_one_child(client: Client, asked: Asked) -> None:
    bare: Call[Operation[list[Machine]]] = Call("POST", "/v1/machines/dev/fork", "Operation[list[Machine]]")
    assert client.operations.wait(client.perform(bare)).result == [DEV]
    assert asked == [("fork", "dev", 1, "")]


@pytest.mark.parametrize("verb", ["snapshot", "fork", "commit"])
def test_only_a_restore_needs_no_machine(client: Client, asked: Asked, verb: str) -> None:
    argument = 1 if verb == "fork" else "x"
    with pytest.raises(Error) as caught:
        getattr(client.machines, verb)("gone", argument)
    assert caught.value.code == "machine_not_found" and asked == []


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        ("snapshot", ""),
        ("snapshot", ".."),
        ("snapshot", "a/b"),
        ("snapshot", "a\n"),
        ("restore", "x" * 65),
        ("fork", 0),
        ("fork", 257),
        ("commit", ""),
    ],
)
def test_what_does_not_fit_is_refused(client: Client, asked: Asked, verb: str, argument: object) -> None:
    with pytest.raises(Error) as caught:
        getattr(client.machines, verb)("dev", argument)
    assert caught.value.code == "bad_spec" and asked == []


def test_snapshots_are_found_by_machine_and_tag(client: Client, asked: Asked) -> None:
    assert client.snapshots.list()[0].tag == "one"
    client.snapshots.list("dev")
    assert client.snapshots.get("dev", "one").machine == "dev"
    assert asked == [("find", "", ""), ("find", "dev", ""), ("find", "dev", "one")]


def test_an_export_is_a_stream_and_its_error_a_status(client: Client) -> None:
    assert b"".join(client.snapshots.export("dev", "one")) == b"frozen" * 30_000
    with pytest.raises(Error) as caught:
        next(client.snapshots.export("dev", "two"))
    assert caught.value.code == "snapshot_not_found"


def test_an_import_is_an_operation_that_the_request_waits_for(client: Client, asked: Asked) -> None:
    assert client.snapshots.import_file([b"a" * 100_000, b"b"], "web", "two").tag == "one"
    assert asked == [("import", "web", "two", b"a" * 100_000 + b"b")]
    assert [(o.kind, o.target) for o in client.operations.list()] == [("import", "snapshot/web:two")]


@pytest.mark.parametrize(("machine", "tag", "code"), [("../x", "", "bad_name"), ("", "a/b", "bad_request")])
def test_an_import_under_a_name_that_is_none_is_refused(
    client: Client, asked: Asked, machine: str, tag: str, code: str
) -> None:
    with pytest.raises(Error) as caught:
        client.snapshots.import_file([b"a"], machine, tag)
    assert caught.value.code == code and asked == []


def test_an_import_that_breaks_off_is_cancelled(client: Client, asked: Asked) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a" * 1000
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        client.snapshots.import_file(broken())
    with pytest.raises(Error) as caught:
        client.operations.wait(client.operations.list()[0].id)
    assert caught.value.code == "cancelled" and asked == []
