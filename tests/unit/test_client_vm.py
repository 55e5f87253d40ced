"""A machine as an object, blocking and for asyncio: what is asked of the daemon, and what comes back."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from banger import AsyncClient, Client
from banger.client import (
    aio_files,
    aio_front,
    aio_process,
    aio_vm,
    guest_files,
    sync_files,
    sync_front,
    sync_process,
    sync_vm,
)
from banger.client.planning import find_availability, plan_options
from banger.client.sync_vm import Vm
from banger.client.transport import Answer
from banger.errors import CommandFailed, CommandMissing, DaemonLost, Error, NoSuchMachine, TimedOut
from banger.model.operation import Progress
from banger.tar.entry import Entry
from banger.tar.kind import Kind
from banger.tar.writer import END, write_headers
from tests.unit.test_client_stand_in import IMAGE, MACHINE, OPERATION, SNAPSHOT, StandIn, running

TWINS = [
    (aio_vm.AsyncVm, sync_vm.Vm),
    (aio_vm.AsyncVms, sync_vm.Vms),
    (aio_files.AsyncFiles, sync_files.Files),
    (aio_process.AsyncProcess, sync_process.Process),
    (aio_process.AsyncDetachedProcess, sync_process.DetachedProcess),
    (aio_front.AsyncFront, sync_front.Front),
]


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path) as one:
        one.answers["GET", "/v1/machines/m1"] = MACHINE
        one.answers["DELETE", "/v1/machines/m1"] = None
        for verb in ("start", "stop", "fork", "snapshot", "restore"):
            one.answers["POST", f"/v1/machines/m1/{verb}"] = OPERATION
        one.ended_operation = OPERATION | {"state": "succeeded", "made": "Machine", "result": MACHINE}
        yield one


@pytest.fixture
def vm(stand_in: StandIn) -> Vm:
    return Client(str(stand_in.path)).machine("dev")


@pytest.mark.parametrize(("aio", "sync"), TWINS, ids=[sync.__name__ for _, sync in TWINS])
def test_both_halves_have_the_same_names_and_arguments(aio: type, sync: type) -> None:
    names = {name for name in dir(sync) if not name.startswith("_")}
    assert {name for name in dir(aio) if not name.startswith("_")} - {"connect"} == names - {"dial"}
    for name in names - {"dial", "sort"}:
        one, other = getattr(aio, name), getattr(sync, name)
        if inspect.isfunction(other):
            assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters)


def test_run_makes_starts_and_at_last_deletes_a_machine(stand_in: StandIn) -> None:
    stand_in.progress = [{"seq": 1, "phase": "boot"}]
    steps: list[Progress] = []
    with Client(str(stand_in.path)).run("debian", memory="1GiB", disk="8GiB", progress=steps.append) as vm:
        assert (vm.name, vm.state.value, vm.record.spec.cpus) == ("dev", "running", 2)
    assert [step.phase for step in steps] == ["boot"]
    assert json.loads(stand_in.bodies[0]) == {"image": "debian", "memory_mib": 1024, "disk_bytes": 8 << 30}
    assert [call[0] for call in stand_in.calls] == ["POST", "POST", "DELETE"]
    assert stand_in.calls[-1][1] == "/v1/machines/m1?force=true"


def test_a_machine_that_did_not_start_is_deleted(stand_in: StandIn) -> None:
    error = {"code": "boot_timeout", "message": "too slow"}
    stand_in.ended_operation = OPERATION | {"state": "failed", "error": error}
    with pytest.raises(Error, match="too slow"):
        Client(str(stand_in.path)).run("debian")
    assert stand_in.calls[-1] == ("DELETE", "/v1/machines/m1?force=true")


def test_a_machine_that_is_gone_at_the_end_of_its_block_is_no_error(vm: Vm, stand_in: StandIn) -> None:
    del stand_in.answers["DELETE", "/v1/machines/m1"]
    with vm:
        pass
    with pytest.raises(NoSuchMachine):
        vm.delete()


def test_a_lost_answer_is_asked_for_again_under_the_same_key(stand_in: StandIn) -> None:
    keys: list[str] = []

    async def answer(asked: Request) -> Response:
        keys.append(asked.headers["idempotency-key"])
        if len(keys) == 1:
            raise ConnectionResetError  # uvicorn answers 500 by itself
        return JSONResponse(MACHINE, 201)

    lost: list[str] = []
    stand_in.answers["POST", "/v1/machines"] = answer
    client = Client(str(stand_in.path))
    dial = client.dial

    def dial_and_lose() -> Any:
        connection = dial()
        if not lost:
            lost.append("once")
            connection.shutdown(2)
        return connection

    client.dial = dial_and_lose  # type: ignore[method-assign]
    keys.append("")
    with client.run("debian") as vm:
        assert vm.id == "m1"
    assert len(keys) == 2 and len(keys[1]) == 32


def test_a_watch_continues_with_the_next_daemon(stand_in: StandIn) -> None:
    client = Client(str(stand_in.path))
    dial, losses = client.dial, [0]

    def dial_and_lose() -> Any:
        connection = dial()
        if len(stand_in.calls) == 2 and losses[0] < 3:
            losses[0] += 1
            connection.shutdown(2)
        return connection

    client.dial = dial_and_lose  # type: ignore[method-assign]
    with client.run("debian") as vm:
        assert vm.id == "m1"
    assert losses == [3]


def test_exec_takes_a_list_or_a_line_for_the_shell(vm: Vm, stand_in: StandIn) -> None:
    assert vm.exec(["echo", "hi"]).stdout == "hi\n"
    assert vm.exec(["echo", "hi"], text=False).stdout == b"hi\n"
    vm.exec("echo hi", shell=True, env={"A": "b"}, cwd="/srv", user="web", timeout_s=3)
    command = stand_in.requests[-1]["command"]
    assert command["argv"] == ["/bin/sh", "-c", "echo hi"]
    assert (command["env"], command["cwd"], command["user"]) == ({"A": "b"}, "/srv", "web")
    assert command["timeout_s"] == 3
    with pytest.raises(Error, match="not one text"):
        vm.exec("echo hi")
    with pytest.raises(Error, match="one text"):
        vm.exec(["echo", "hi"], shell=True)
    with pytest.raises(Error, match="not one text"):
        vm.client.machines.exec("dev", "echo hi")  # type: ignore[attr-defined]


def test_exec_sends_stdin_and_calls_back(vm: Vm) -> None:
    said: list[str] = []
    assert vm.exec(["cat"], stdin="grüße", on_stdout=said.append).stdout == "grüße"
    assert "".join(said) == "grüße"
    assert vm.exec(["cat"], stdin=b"x" * 3_000_000, text=False).stdout == b"x" * 3_000_000
    warned: list[bytes] = []
    done = vm.exec(["warn", "look"], text=False, on_stderr=warned.append)
    assert (b"".join(warned), done.stderr, done.stdout) == (b"look\n", b"look\n", b"")


def test_an_exit_code_is_an_error_if_it_is_asked_for(vm: Vm) -> None:
    assert vm.exec(["exit", "3"]).exit_code == 3
    with pytest.raises(CommandFailed, match="exit code 3") as caught:
        vm.exec(["exit", "3"], check=True)
    assert caught.value.details == {"exit_code": 3, "signal": 0}
    with pytest.raises(CommandMissing):
        vm.exec(["missing"])
    with pytest.raises(DaemonLost):
        vm.exec(["hang-up"])


def test_a_process_is_talked_to_while_it_runs(vm: Vm, stand_in: StandIn) -> None:
    with vm.spawn(["cat"]) as process:
        assert (process.exec_id, process.pid, process.exit_code) == (1, 100, None)
        process.write("one")
        assert next(process).text == "one"
        process.write(b"two")
        assert process.wait(check=True).stdout == "two"
        assert process.exit_code == 0
    with vm.spawn(["wait"], pty=(30, 100)) as process:
        assert next(process).data == b"up\n"
        process.resize(40, 120)
        assert next(process).text == "40x120\r\n"
        process.signal(15)
        assert process.wait().exit_code == 143
    command = stand_in.requests[-1]["command"]
    assert (command["tty"], command["rows"], command["cols"], command["stdin"]) == (True, 30, 100, True)


def test_a_character_that_is_cut_comes_with_the_next_piece(vm: Vm) -> None:
    with vm.spawn(["cat"]) as process:
        process.write("ü".encode()[:1])
        first = next(process)
        process.write("ü".encode()[1:])
        assert (first.text, next(process).text) == ("", "ü")


def test_a_process_is_left_running_or_hung_up_on(vm: Vm, stand_in: StandIn) -> None:
    process = vm.spawn(["wait"])
    process.detach()
    assert stand_in.said[-1]["type"] == "detach"
    with pytest.raises(Error, match="has detached"):
        process.wait()
    with vm.spawn(["wait"]) as process:
        next(process)
    for _ in range(500):
        if stand_in.disconnects:
            break
        asyncio.run(asyncio.sleep(0.01))
    assert stand_in.disconnects


def test_a_detached_command_can_be_attached_to(vm: Vm, stand_in: StandIn) -> None:
    stand_in.answers["POST", "/v1/machines/m1/execs"] = {"id": 4, "argv": ["sh"]}
    stand_in.answers["GET", "/v1/machines/m1/execs/4/wait"] = {"code": 0}
    stand_in.answers["GET", "/v1/machines/m1/logs"] = b"said\n"
    detached = vm.exec_detached(["sh"])
    assert (detached.id, detached.wait().code, b"".join(detached.output())) == (4, 0, b"said\n")
    with detached.attach() as process:
        process.write("x")
        assert process.wait().stdout == "x"
    assert stand_in.requests[-1] == {"exec": 4}


def test_forks_are_machines_and_are_deleted_together(vm: Vm, stand_in: StandIn) -> None:
    result = [MACHINE | {"id": f"m{number}", "name": f"dev-{number}"} for number in (2, 3)]
    stand_in.ended_operation = OPERATION | {"state": "succeeded", "made": "list[Machine]", "result": result}
    stand_in.answers["DELETE", "/v1/machines/m3"] = None
    with vm.fork(2) as copies:
        assert [copy.name for copy in copies] == ["dev-2", "dev-3"]
    gone = [path for method, path in stand_in.calls if method == "DELETE"]
    assert gone == ["/v1/machines/m2?force=true", "/v1/machines/m3?force=true"]


def test_snapshots_have_a_tag_of_their_own_unless_one_is_given(vm: Vm, stand_in: StandIn) -> None:
    stand_in.ended_operation = OPERATION | {"state": "succeeded", "made": "Snapshot", "result": SNAPSHOT}
    assert vm.snapshot("one").tag == "one"
    assert json.loads(stand_in.bodies[-1]) == {"tag": "one"}
    snapshot = vm.snapshot()
    assert len(json.loads(stand_in.bodies[-1])["tag"]) == 13
    stand_in.ended_operation = OPERATION | {"state": "succeeded", "made": "Machine", "result": MACHINE}
    assert vm.restore(snapshot).name == "dev"
    assert json.loads(stand_in.bodies[-1]) == {"tag": "one"}


def test_a_wait_has_a_limit(vm: Vm, stand_in: StandIn) -> None:
    stand_in.progress = [{"seq": number, "phase": "boot"} for number in range(200)]
    stand_in.progress_delay_s = 0.05
    with pytest.raises(TimedOut):
        vm.stop(timeout_s=0.2)


def test_logs_are_lines_of_text(vm: Vm, stand_in: StandIn) -> None:
    stand_in.answers["GET", "/v1/machines/m1/logs"] = b"one\ntw\xff\n"
    assert list(vm.logs(tail=2)) == ["one", "tw\ufffd"]
    assert stand_in.calls[-1][1] == "/v1/machines/m1/logs?source=exec&tail=2"


def test_notebooks_show_machines_and_runs_without_their_markup(vm: Vm) -> None:
    assert vm._repr_html_().startswith("<table>") and repr(vm) == "<Vm dev, running, debian>"
    shown = vm.exec(["echo", "<b>"])._repr_html_()
    assert "&lt;b&gt;" in shown and "<b>" not in shown


def test_what_a_guest_sends_is_taken_into_memory_up_to_a_limit(
    vm: Vm, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse = Entry(b"f", Kind.FILE, (0o644, 0, 0), 0, 1 << 43)
    sparse.segments, sparse.stored = (), 0
    for whole in (b"".join(guest_files.pack_file("f", b"x" * 11, 0o644)), write_headers(sparse) + END):
        stand_in.answers["GET", "/v1/machines/m1/files"] = whole
        with pytest.raises(Error) as caught:
            vm.files.read("/f", limit_bytes=10)
        assert caught.value.code == "payload_too_large"
    with pytest.raises(Error) as caught:
        vm.files.read("/f")
    assert caught.value.code == "payload_too_large"
    monkeypatch.setattr("banger.client.outputs.HELD_BYTES", 1 << 20)
    with vm.spawn(["cat"]) as process, pytest.raises(Error, match="wait to be taken"):
        process.write(b"x" * (8 << 20))
    assert len(vm.exec(["cat"], stdin=b"x" * (8 << 20)).stdout) == 8 << 20


def test_an_answer_that_is_not_wanted_to_its_end_is_closed_at_once(
    vm: Vm, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Answer] = []

    def close(answer: Answer) -> None:
        closed.append(answer)
        plain_close(answer)

    plain_close = Answer.close
    monkeypatch.setattr(Answer, "close", close)
    stand_in.answers["GET", "/v1/machines/m1/files"] = b"".join(guest_files.pack_file("f", b"x" * 11, 0o644))
    with pytest.raises(Error) as caught:
        vm.files.read("/f", limit_bytes=10)
    assert caught.value.code == "payload_too_large" and closed, "although its traceback is still here"


def test_files_travel_as_tar(vm: Vm, stand_in: StandIn, tmp_path: Path) -> None:
    sent: dict[str, bytes] = {}
    directory = {"type": "directory", "mode": 0o755, "uid": 0, "gid": 0, "size_bytes": 0, "mtime": 0}

    async def stat(asked: Request) -> Response:
        if asked.query_params["path"] == "/srv":
            return JSONResponse(directory)
        return JSONResponse({"error": {"code": "file_not_found", "message": "no"}}, 404)

    async def put(asked: Request) -> Response:
        sent[asked.query_params["path"]] = await asked.body()
        return Response(status_code=204)

    async def get(asked: Request) -> Response:
        return Response(sent["/srv"])

    stand_in.answers["GET", "/v1/machines/m1/files/stat"] = stat
    stand_in.answers["PUT", "/v1/machines/m1/files"] = put
    stand_in.answers["GET", "/v1/machines/m1/files"] = get
    vm.files.write("/srv/a/b/file", "grüße\n", mode=0o600)
    assert list(sent) == ["/srv"] and b"a/b/file" in sent["/srv"][:100]
    assert vm.files.read("/srv/a/b/file") == "grüße\n"
    vm.files.write("/srv/data", b"\xff" * 100_000)
    assert vm.files.read("srv/data", text=False) == b"\xff" * 100_000
    with pytest.raises(Error, match="not text"):
        vm.files.read("/srv/data")
    (tmp_path / "here").write_text("up")
    assert vm.files.upload(tmp_path / "here", "/srv/there").count == 0
    vm.files.download("/srv/there", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "up"
    with pytest.raises(Error, match="does not exist on this host"):
        vm.files.upload(tmp_path / "nowhere", "/srv/there")
    vm.files.make_dir("/srv/sub")
    with pytest.raises(Error, match="not name a regular file"):
        vm.files.read("/srv/sub")
    sent["/srv"] = sent["/srv"][:100]
    with pytest.raises(Error, match="broken tar stream"):
        vm.files.read("/srv/sub")


def test_asyncio_gives_the_same(stand_in: StandIn, tmp_path: Path) -> None:
    async def use(client: AsyncClient) -> None:
        async with client.run("debian", memory="1GiB") as vm:
            assert (await vm.exec(["echo", "hi"])).stdout == "hi\n"
            assert (await vm.exec(["cat"], stdin=b"x" * 2_000_000, text=False)).stdout == b"x" * 2_000_000
            async with vm.spawn(["cat"]) as process:
                await process.write("one")
                assert (await anext(process)).text == "one"
                assert (await process.wait()).exit_code == 0
        assert stand_in.calls[-1][0] == "DELETE"
        vm = await client.run("debian")
        sent: list[bytes] = []

        async def put(asked: Request) -> Response:
            sent.append(await asked.body())
            return Response(status_code=204)

        async def get(asked: Request) -> Response:
            return Response(sent[-1])

        stand_in.answers["PUT", "/v1/machines/m1/files"] = put
        stand_in.answers["GET", "/v1/machines/m1/files"] = get
        await vm.files.write("/f", "text")
        assert await vm.files.read("/f") == "text"
        await vm.files.download("/f", tmp_path / "f")

    asyncio.run(use(AsyncClient(str(stand_in.path))))
    assert (tmp_path / "f").read_text() == "text"


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (b"", []),
        (b"1\n81a4 0 0 3 17\n/a\nb\0", ["/a\nb"]),
        (b"2\n41ed 0 0 3 17\na1ff 1 2 3 -4\n/z\0/a\0" + b"1\n81a4 0 0 3 17\n/b\0", ["/a", "/b", "/z"]),
        (b"2\n41ed 0 0 3 17\n/z\0/a\0", None),
        (b"stat: oh no", None),
    ],
)
def test_a_listing_is_read_whole_or_not_at_all(output: bytes, names: list[str] | None) -> None:
    found = guest_files.parse_listing(output)
    assert names == (None if found is None else [entry.path for entry in found])


def test_a_pull_is_waited_for(stand_in: StandIn) -> None:
    stand_in.ended_operation = OPERATION | {"state": "succeeded", "made": "Image", "result": IMAGE}
    stand_in.progress = [{"seq": 1, "phase": "download", "done": 1, "total": 2}]
    steps: list[Progress] = []
    image = Client(str(stand_in.path)).pull("debian:12", size="8GiB", progress=steps.append)
    assert (image.name, [step.total for step in steps]) == ("debian:12", [2])
    assert json.loads(stand_in.bodies[-1]) == {"ref": "debian:12", "size_bytes": 8 << 30}


def test_sizes_are_written_as_text() -> None:
    assert plan_options("512MiB", "", {"cpus": 2}) == {"cpus": 2, "memory_mib": 512}
    for memory in ("much", "1.5KiB"):
        with pytest.raises(Error) as caught:
            plan_options(memory, "", {})
        assert caught.value.code == "bad_size"


@pytest.mark.parametrize(
    ("accelerators", "drivers", "expected"),
    [
        ([("kvm", True, ""), ("tcg", True, "")], [("qemu", "")], (True, "kvm", "")),
        ([("kvm", False, "no"), ("tcg", True, "")], [("qemu", ""), ("x", "bad")], (True, "tcg", "no")),
        ([("tcg", True, "")], [("qemu", "not installed")], (False, "", "qemu: not installed")),
        ([("kvm", False, "no")], [("qemu", "")], (False, "", "no")),
        ([], [], (False, "", "no VMM is installed")),
    ],
)
def test_availability_says_why_not(accelerators: Any, drivers: Any, expected: Any) -> None:
    assert find_availability(accelerators, drivers) == expected


def test_availability_without_a_daemon_is_no_error(tmp_path: Path) -> None:
    found = Client(str(tmp_path / "none.sock")).local_availability()
    assert not found and "no daemon answers" in found.reason
