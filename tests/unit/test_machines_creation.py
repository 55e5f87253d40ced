"""A machine is created once, however often the request is sent."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn

from banger import AsyncClient, Client
from banger.cli.dispatch import dispatch
from banger.errors import Error
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.life import creation
from banger.machines.life.creation import check_key
from banger.machines.life.lives import Lives
from banger.model.machine import Machine, MachineSpec
from banger.server.app import create_app
from banger.server.protocol import BoundedProtocol
from banger.store import keys
from banger.store.store import Store

Capture = pytest.CaptureFixture[str]


def open_engine(path: Path) -> Any:
    store, nothing = Store(path), cast("Any", None)
    lives = Lives(Registry(store), Holdings(nothing, store.resources, nothing))
    makings = SimpleNamespace(drivers=None)
    return SimpleNamespace(store=store, lives=lives, registry=lives.registry, makings=makings)


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    return open_engine(tmp_path / "s.db")


def create_once(engine: Any, spec: MachineSpec, key: str) -> tuple[Machine, bool]:
    return creation.create_once(engine.registry, engine.makings.drivers, engine.store.keys, spec, key)


def spec(**fields: Any) -> MachineSpec:
    return MachineSpec(image="debian", **fields)


def test_the_same_key_answers_the_same_machine(engine: Any) -> None:
    first, was_new = create_once(engine, spec(name="dev"), "k1")
    again, is_new = create_once(engine, spec(name="dev"), "k1")
    assert was_new and not is_new and again is first
    assert len(engine.registry.all()) == 1


def test_a_made_up_name_is_made_up_once(engine: Any) -> None:
    first, _ = create_once(engine, spec(), "k1")
    other, _ = create_once(engine, spec(), "k2")
    assert create_once(engine, spec(), "k1")[0] is first is not other


def test_the_same_key_with_another_request_is_a_conflict(engine: Any) -> None:
    first, _ = create_once(engine, spec(), "k1")
    with pytest.raises(Error) as caught:
        create_once(engine, spec(cpus=2), "k1")
    assert caught.value.code == "idempotency_conflict"
    assert caught.value.details == {"machine": first.id}


def test_a_key_outlives_the_daemon(tmp_path: Path) -> None:
    first, _ = create_once(open_engine(tmp_path / "s.db"), spec(), "k1")
    assert create_once(open_engine(tmp_path / "s.db"), spec(), "k1")[0].id == first.id


def test_a_key_whose_machine_is_gone_makes_no_second_one(engine: Any) -> None:
    first, _ = create_once(engine, spec(), "k1")
    asyncio.run(engine.lives.remove(first))
    with pytest.raises(Error) as caught:
        create_once(engine, spec(), "k1")
    assert caught.value.code == "idempotency_conflict" and "gone" in caught.value.message


def test_a_request_that_failed_may_be_sent_again(engine: Any) -> None:
    taken, _ = create_once(engine, spec(name="dev"), "k1")
    with pytest.raises(Error) as caught:
        create_once(engine, spec(name="dev"), "k2")
    assert caught.value.code == "name_taken"
    asyncio.run(engine.lives.remove(taken))
    assert create_once(engine, spec(name="dev"), "k2")[1]


def test_a_key_is_forgotten_after_a_day(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    create_once(engine, spec(), "k1")
    monkeypatch.setattr(keys, "KEEP", timedelta(0))
    assert create_once(engine, spec(cpus=2), "k1")[1]
    count = engine.store.database.execute("SELECT count(*) FROM idempotency_keys").fetchone()
    assert count == (1,)


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "a\tb", "é", "a\n"])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(Error) as caught:
        check_key(key)
    assert caught.value.code == "bad_request"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The application in a thread, with a store of its own."""
    path = str(tmp_path / "api.sock")
    up = threading.Event()
    servers = []

    async def serve() -> None:
        config = uvicorn.Config(
            create_app(open_engine(tmp_path / "s.db")), uds=path, http=BoundedProtocol, lifespan="off"
        )
        servers.append(uvicorn.Server(config))
        starting = asyncio.create_task(servers[0].serve())
        while not servers[0].started:
            await asyncio.sleep(0.01)
        up.set()
        await starting

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(10)
    monkeypatch.setenv("BANGER_SOCKET", path)
    yield path
    servers[0].should_exit = True
    thread.join(10)


def test_both_clients_and_the_command_line_pass_the_key_on(path: str, capsys: Capture) -> None:
    machines = Client(path).machines
    first = machines.create("debian", idempotency_key="k-1")
    assert machines.create("debian", idempotency_key="k-1") == first and first.owner == os.geteuid()
    assert asyncio.run(AsyncClient(path).machines.create("debian", idempotency_key="k-1")) == first
    assert dispatch(["vm", "create", "--idempotency-key", "k-1", "debian"]) == 0
    assert capsys.readouterr().out == f"{first.name}\n"
    assert dispatch(["vm", "create", "--idempotency-key", "k-1", "--cpus", "2", "debian"]) == 125
    assert "was used for another request" in capsys.readouterr().err
    assert dispatch(["vm", "create", "--idempotency-key", "", "debian"]) == 2


@pytest.mark.parametrize("key", ["a b", "x" * 129, "é", "a\r\nX: y"])
def test_a_bad_key_is_a_named_error_everywhere(path: str, key: str) -> None:
    with pytest.raises(Error) as caught:
        Client(path).machines.create("debian", idempotency_key=key)
    assert caught.value.code == "bad_request"
    with pytest.raises(Error) as caught:
        asyncio.run(AsyncClient(path).machines.create("debian", idempotency_key=key))
    assert caught.value.code == "bad_request"


def test_an_answer_says_whether_it_is_the_first(path: str) -> None:
    from banger.client.transport import dial, request

    def post(body: bytes) -> int:
        answer = request(dial(path), "POST", "/v1/machines", body, key="k1")
        answer.read()
        return answer.status

    assert [post(b'{"image": "debian"}'), post(b'{"image": "debian", "cpus": 1}')] == [201, 200]
    assert post(b'{"image": "alpine"}') == 409
