"""The SDK in E2B's shape, against a stand-in of the daemon."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.compat import (
    AsyncSandbox,
    CommandExitException,
    NotFoundException,
    Sandbox,
    SandboxException,
    aio_sandbox,
    sync_sandbox,
)
from tests.unit.test_client_stand_in import MACHINE, OPERATION, StandIn, running


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    directory = {"type": "directory", "mode": 0o755, "uid": 0, "gid": 0, "size_bytes": 0, "mtime": 0}
    with running(tmp_path) as one:
        monkeypatch.setenv("BANGER_SOCKET", str(one.path))
        one.answers["POST", "/v1/machines/m1/start"] = OPERATION
        one.answers["GET", "/v1/machines/m1"] = MACHINE
        one.answers["DELETE", "/v1/machines/m1"] = None
        one.answers["POST", "/v1/machines/m1/expiry"] = MACHINE
        one.answers["GET", "/v1/machines/m1/files/stat"] = directory
        one.ended_operation = OPERATION | {"state": "succeeded", "made": "Machine", "result": MACHINE}
        yield one


def test_a_sandbox_is_a_machine_with_a_time_to_live(stand_in: StandIn) -> None:
    with Sandbox.create("python:3.12", timeout=60, metadata={"job": "7"}, api_key="none") as sandbox:
        assert sandbox.sandbox_id == "m1" and sandbox.is_running()
        sandbox.set_timeout(30)
        assert json.loads(stand_in.bodies[-1]) == {"ttl_s": 30}
    asked = json.loads(stand_in.bodies[0])
    assert (asked["image"], asked["ttl_s"], asked["labels"]["job"]) == ("python:3.12", 60, "7")
    assert stand_in.calls[-1] == ("DELETE", "/v1/machines/m1?force=true")


def test_the_first_versions_constructor_makes_one_too(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANGER_COMPAT_IMAGE", "alpine")
    sandbox = Sandbox(template="base", envs={"A": "b"})
    asked = json.loads(stand_in.bodies[0])
    assert (asked["image"], asked["ttl_s"]) == ("alpine", 300)
    sandbox.commands.run("env")
    assert stand_in.requests[-1]["command"]["env"] == {"A": "b"}
    assert sandbox.kill()
    del stand_in.answers["DELETE", "/v1/machines/m1"]
    assert not sandbox.kill()
    del stand_in.answers["GET", "/v1/machines/m1"]
    assert not sandbox.is_running()


def test_commands_are_lines_for_the_shell_in_the_home_directory(stand_in: StandIn) -> None:
    sandbox = Sandbox.connect("m1")
    stand_in.requests.clear()
    sandbox.commands.run("echo hi", envs={"X": "1"}, user="user", cwd="sub", timeout=5)
    command = stand_in.requests[-1]["command"]
    assert (command["argv"], command["cwd"]) == (["/bin/sh", "-c", "echo hi"], "/home/user/sub")
    assert (command["user"], command["timeout_s"], command["env"]) == ("0", 5, {"X": "1"})
    sandbox.commands.run("id", user="web", cwd="/srv")
    command = stand_in.requests[-1]["command"]
    assert (command["user"], command["cwd"]) == ("web", "/srv")


@pytest.fixture
def no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's guest has no shell."""
    monkeypatch.setattr("banger.client.results.plan_argv", lambda argv, shell: argv.split())


@pytest.mark.usefixtures("no_shell")
def test_results_and_failures_have_their_shape(stand_in: StandIn) -> None:
    sandbox = Sandbox.connect("m1")
    said: list[str] = []
    done = sandbox.commands.run("echo hi", on_stdout=said.append)
    assert (done.stdout, done.stderr, done.exit_code, said) == ("hi\n", "", 0, ["hi\n"])
    with pytest.raises(CommandExitException) as caught:
        sandbox.commands.run("exit 3")
    assert caught.value.exit_code == 3
    with pytest.raises(SandboxException, match="command_not_found"):
        sandbox.commands.run("missing")
    with pytest.raises(NotFoundException):
        Sandbox.connect("gone")


@pytest.mark.usefixtures("no_shell")
def test_a_command_in_the_background_is_talked_to(stand_in: StandIn) -> None:
    sandbox = Sandbox.connect("m1")
    handle = sandbox.commands.run("cat", background=True)
    assert handle.pid == 100
    handle.send_stdin("hello")
    assert handle.wait().stdout == "hello" and not handle.kill()
    handle = sandbox.commands.run("wait", background=True)
    assert handle.kill()
    with pytest.raises(CommandExitException) as caught:
        handle.wait()
    assert caught.value.exit_code == 137
    sandbox.commands.run("wait", background=True).disconnect()
    assert stand_in.said[-1]["type"] == "detach"


def test_both_halves_have_the_same_names() -> None:
    for name in ("Sandbox", "Commands", "CommandHandle", "Filesystem"):
        sync, aio = getattr(sync_sandbox, name), getattr(aio_sandbox, f"Async{name}")
        public = [one for one in dir(sync) if not one.startswith("_")]
        assert public == [one for one in dir(aio) if not one.startswith("_")]
        for one in public:
            if inspect.isfunction(getattr(sync, one)):
                arguments = (inspect.signature(getattr(kind, one)).parameters for kind in (sync, aio))
                assert len({tuple(each) for each in arguments}) == 1


def test_asyncio_gives_the_same(stand_in: StandIn) -> None:
    async def use() -> None:
        async with await AsyncSandbox.create(timeout=60) as sandbox:
            assert await sandbox.is_running()
            assert (await sandbox.commands.run("true")).exit_code == 0

    asyncio.run(use())
    assert stand_in.calls[-1][0] == "DELETE"
