"""The SDK, blocking and asyncio: one table of calls, the same answers from both."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from banger import AsyncClient, Client
from banger.client import answers, calls, sync_methods
from banger.errors import Error
from banger.model.command import Command
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.operation import Operation, Progress
from tests.unit.test_client_stand_in import OPERATION, SNAPSHOT, StandIn, running

DESCRIBERS = {
    name: value
    for name, value in vars(calls).items()
    if inspect.isfunction(value) and str(inspect.signature(value).return_annotation).startswith("Call[")
}


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path) as running_one:
        yield running_one


@pytest.fixture
def client(stand_in: StandIn) -> Client:
    return Client(str(stand_in.path))


def told(stand_in: StandIn) -> tuple[str, str]:
    return stand_in.calls[-1]


@pytest.mark.parametrize("name", DESCRIBERS)
def test_a_calls_annotation_and_its_named_answer_agree(name: str) -> None:
    """One is for the type checker, the other for the decoder."""
    describe = DESCRIBERS[name]
    samples = {
        "operation_id": "x",
        "name": "x",
        "exec_id": 1,
        "signal": 15,
        "ref": "x",
        "image": "x",
        "path": "/x",
        "new": "x",
        "port": "0:1",
        "rootfs": "/x",
        "registry": "x",
        "username": "x",
        "password": "x",
        "stream": [],
        "spec": {},
    }
    samples |= {
        "command": {},
        "request": {},
        "id": "x",
        "machine": "x",
        "tag": "x",
        "network": "x",
        "volume": "x",
        "file": [],
        "url": "x",
    }
    samples |= {"key": "x", "kind": "image", "directory": "/x", "ttl_s": 1}
    needed = [p.name for p in inspect.signature(describe).parameters.values() if p.default is p.empty]
    call = describe(**{parameter: samples[parameter] for parameter in needed if parameter in samples})
    annotation = str(inspect.signature(describe).return_annotation)
    assert annotation == f"Call[{call.answer}]"
    assert call.answer in {*answers.types(), "None", "bytes"}


def test_both_clients_have_the_same_rooms_and_methods() -> None:
    ours, theirs = (vars(one("/not/there", start=False)) for one in (Client, AsyncClient))
    assert [name for name in ours if name[0] != "_"] == [name for name in theirs if name[0] != "_"]
    for room in (name for name in ours if isinstance(ours[name], sync_methods.Room)):
        assert {n for n in dir(ours[room]) if n[0] != "_"} == {n for n in dir(theirs[room]) if n[0] != "_"}


@pytest.mark.parametrize(
    ("options", "struct", "others"),
    [
        ("SpecOptions", MachineSpec, {"image", "command"}),
    ],
)
def test_the_options_of_a_call_are_those_of_its_body(
    options: str, struct: type[msgspec.Struct], others: set[str]
) -> None:
    source = re.split(r"\n    (?=\w)", inspect.getsource(calls).partition(f"class {options}")[2])[0]
    fields = {line.split(":")[0].strip() for line in source.splitlines() if re.match(r" {8}\w+: ", line)}
    assert fields == set(struct.__struct_fields__) - others


def test_answers_are_structs_and_unknown_fields_do_no_harm(client: Client) -> None:
    machine = client.machines.get("dev")
    assert isinstance(machine, Machine) and machine.state is MachineState.RUNNING
    assert [m.name for m in client.machines.list()] == ["dev"]
    assert client.machines.health("dev").agent.ok
    assert client.machines.ports("dev")[0].port == 80


def test_the_daemon_is_asked_what_was_meant(client: Client, stand_in: StandIn) -> None:
    client.machines.create("debian", command=Command(argv=["sh"]), cpus=2, name="dev")
    sent = json.loads(stand_in.bodies[-1])
    assert (sent["image"], sent["cpus"], sent["command"]["argv"]) == ("debian", 2, ["sh"])
    client.machines.kill("dev", signal=15)
    assert told(stand_in) == ("POST", "/v1/machines/dev/kill?signal=15")
    client.machines.delete("dev", force=True)
    assert told(stand_in) == ("DELETE", "/v1/machines/dev?force=true")
    client.images.get("debian:12")
    assert b"".join(client.machines.logs("dev", tail=2)) == b"line one\nline two\n"
    assert told(stand_in) == ("GET", "/v1/machines/dev/logs?tail=2")


def test_errors_are_raised_with_their_code(client: Client) -> None:
    with pytest.raises(Error) as caught:
        client.machines.get("nope")
    assert (caught.value.code, caught.value.hint) == ("machine_not_found", "look")


def test_an_answer_of_the_wrong_shape_is_an_error(client: Client, stand_in: StandIn) -> None:
    stand_in.answers["GET", "/v1/machines/dev"] = {"id": 7}
    with pytest.raises(Error, match="wrong shape"):
        client.machines.get("dev")


def test_run_and_exec_give_output_and_exit_code(client: Client, stand_in: StandIn) -> None:
    done = client.machines.run("debian", ["echo", "hi"], cpus=2, env={"A": "b"})
    assert (done.stdout, done.exit_code, done.timings_ms["total"]) == (b"hi\n", 0, 9.0)
    spec = stand_in.requests[-1]["spec"]
    assert (spec["cpus"], spec["remove"], spec["command"]["env"]) == (2, True, {"A": "b"})
    assert client.machines.exec("dev", ["cat"], stdin=b"x" * 3_000_000).stdout == b"x" * 3_000_000
    with pytest.raises(Error, match="exit code 3"):
        client.machines.exec("dev", ["exit", "3"]).check()


def test_operations_are_watched_to_their_end(client: Client, stand_in: StandIn) -> None:
    stand_in.progress = [{"seq": 1, "phase": "pull", "done": 1, "total": 2}]
    events = list(client.operations.events("op1"))
    assert isinstance(events[0], Progress) and isinstance(events[1], Operation)
    assert client.operations.wait("op1").result == "debian:12"
    stand_in.ended_operation = OPERATION | {
        "state": "failed",
        "error": {"code": "download_failed", "message": "x"},
    }
    with pytest.raises(Error) as caught:
        client.operations.wait("op1")
    assert caught.value.code == "download_failed"
    stand_in.ended_operation = OPERATION | {"state": "cancelled"}
    with pytest.raises(Error, match="cancelled"):
        client.operations.wait("op1")


def test_asyncio_gives_the_same(stand_in: StandIn) -> None:
    async def use(client: AsyncClient) -> None:
        assert isinstance(await client.machines.get("dev"), Machine)
        done = await asyncio.gather(
            *(client.machines.exec("dev", ["cat"], stdin=b"x" * 2_000_000) for _ in range(3))
        )
        assert [len(one.stdout) for one in done] == [2_000_000] * 3
        assert (await client.machines.run("debian", ["echo", "hi"])).stdout == b"hi\n"
        assert b"".join([piece async for piece in client.machines.logs("dev")]) == b"line one\nline two\n"
        assert (await client.operations.wait("op1")).result == "debian:12"
        with pytest.raises(Error) as caught:
            await client.machines.get("nope")
        assert caught.value.code == "machine_not_found"
        with pytest.raises(Error) as caught:
            await client.machines.exec("dev", ["missing"])
        assert caught.value.code == "command_not_found"
        with pytest.raises(Error, match="ended before the command did"):
            await client.machines.exec("dev", ["hang-up"])

    asyncio.run(use(AsyncClient(str(stand_in.path))))


def test_files_go_in_as_tar_from_both(client: Client, stand_in: StandIn) -> None:
    stand_in.answers["PUT", "/v1/machines/dev/files"] = None
    client.machines.put_files("dev", "/srv", iter([b"abc", b"def"]))
    assert stand_in.bodies[-1] == b"abcdef"

    async def put(pieces: Iterator[bytes]) -> None:
        await AsyncClient(str(stand_in.path)).machines.put_files("dev", "/srv", pieces)

    asyncio.run(put(iter([b"ghi"])))
    assert stand_in.bodies[-1] == b"ghi" and told(stand_in) == ("PUT", "/v1/machines/dev/files?path=%2Fsrv")

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        asyncio.run(put(broken()))


def test_frozen_machines_are_structs_too(client: Client, stand_in: StandIn) -> None:
    assert client.templates.list()[0].shape.driver == "qemu"
    assert client.templates.get("4be1").ready == 2
    assert client.templates.prune(all=True).count == 2
    assert told(stand_in) == ("POST", "/v1/templates/prune?all=true")
    assert client.snapshots.list("dev")[0].spec.cpus == 2
    assert told(stand_in) == ("GET", "/v1/snapshots?machine=dev")
    assert b"".join(client.snapshots.export("dev", "one")) == b"frozen" * 100_000
    client.snapshots.delete("dev", "one")
    client.machines.fork("dev", 3, "worker")
    assert json.loads(stand_in.bodies[-1]) == {"count": 3, "name": "worker"}


def test_a_snapshot_goes_in_as_zstd_from_both(client: Client, stand_in: StandIn) -> None:
    kinds = []

    async def take(asked: Request) -> Response:
        kinds.append((asked.headers["content-type"], await asked.body()))
        return JSONResponse(SNAPSHOT)

    stand_in.answers["PUT", "/v1/snapshots/import"] = take
    assert client.snapshots.import_file([b"a", b"b"], tag="two").machine == "dev"
    assert told(stand_in) == ("PUT", "/v1/snapshots/import?tag=two")
    asyncio.run(AsyncClient(str(stand_in.path)).snapshots.import_file([b"c"]))
    assert kinds == [("application/zstd", b"ab"), ("application/zstd", b"c")]


def test_no_daemon_is_started_for_a_path_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no daemon answers"):
        Client(str(tmp_path / "none.sock")).system.info()


@pytest.mark.parametrize("module", ["banger.client.transport", "banger.client.stream", "banger.client.start"])
def test_the_hot_path_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"msgspec", "asyncio", "typing", "typing_extensions", "rich", "dataclasses", "http.client", "ssl"}
    assert heavy & set(done.stdout.split()) == set()
