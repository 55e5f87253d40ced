"""Sandboxes for agents: the operator's limits, and what agents see, with the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from banger.client.aio import AsyncClient
from banger.errors import Error
from banger.mcp.limits import Limits, check_count, check_file, check_sandbox, may_pull
from banger.mcp.sandboxes import LABEL, Sandboxes, still_to_live_s
from banger.mcp.serving import WithToken
from banger.mcp.tools import make_server
from banger.model.machine import Machine, MachineSpec, MachineState
from tests.unit.test_client_stand_in import MACHINE, OPERATION, SNAPSHOT, StandIn, running

OURS = MACHINE | {"spec": {"image": "debian", "labels": {LABEL: "ours"}}}
OTHERS = MACHINE | {"id": "m2", "name": "other", "spec": {"image": "debian", "labels": {LABEL: "theirs"}}}


@pytest.mark.parametrize(
    ("image", "patterns", "allowed"),
    [
        ("debian-bookworm", (), True),
        ("python:3.12", (), False),
        ("python:3.12", ("python:*",), True),
        ("python:3.12", ("*",), True),
        ("registry.lan:5000/team/app@sha256:" + "a" * 64, ("registry.lan:5000/*",), True),
        ("ruby", ("python:*",), False),
        ("rootfs:/home/user", ("*",), False),
        ("docker-archive:/tmp/a.tar", ("*",), False),
        ("tar:etc", ("*",), False),
        ("oci:x", ("*",), False),
        ("machine:dev", ("*",), False),
        ("/etc", ("*",), False),
        ("-", ("*",), False),
        ("python:3.12\n", ("*",), False),
        ("../x", ("*",), False),
    ],
)
def test_only_what_the_operator_allows_is_pulled_and_never_files_of_this_host(
    image: str, patterns: tuple[str, ...], allowed: bool
) -> None:
    assert may_pull(Limits(images=patterns), image) is allowed


def test_a_sandbox_is_within_the_limits() -> None:
    limits = Limits(network="internet", cpus=2, memory_mib=512, ttl_s=60, file_bytes=10)
    right: dict[str, Any] = {"cpus": 2, "memory_mib": 512, "network": "none", "ttl_s": 60}
    assert check_sandbox(limits, **right) == "none"
    for wrong in (
        {"cpus": 3},
        {"memory_mib": 513},
        {"network": "lan"},
        {"network": "host"},
        {"ttl_s": 61},
        {"ttl_s": 0},
        {"ttl_s": -1},
        {"ttl_s": float("nan")},
    ):
        with pytest.raises(Error) as caught:
            check_sandbox(limits, **(right | wrong))
        assert caught.value.code == "not_permitted"
    with pytest.raises(Error, match="unknown network policy"):
        check_sandbox(limits, **(right | {"network": "everything"}))
    check_count(7, 1, 8, "sandboxes")
    with pytest.raises(Error, match="at most 8"):
        check_count(7, 2, 8, "sandboxes")
    with pytest.raises(Error, match="at most 10B"):
        check_file(limits, 11)


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path) as one:
        one.answers["GET", "/v1/machines"] = [OURS, OTHERS]
        one.answers["GET", "/v1/machines/dev"] = OURS
        one.answers["GET", "/v1/machines/other"] = OTHERS
        one.answers["POST", "/v1/machines"] = OURS
        one.answers["POST", "/v1/machines/m1/start"] = OPERATION
        one.answers["DELETE", "/v1/machines/m1"] = None
        one.answers["GET", "/v1/snapshots"] = [
            SNAPSHOT | {"tag": tag, "spec": {"image": "debian", "labels": {LABEL: scope}}}
            for tag, scope in (("ours", "ours"), ("theirs", "theirs"))
        ]
        one.answers["DELETE", "/v1/snapshots/dev/ours"] = None
        one.ended_operation = OPERATION | {"state": "succeeded", "made": "Machine", "result": OURS}
        yield one


def ask(stand_in: StandIn, work: Callable[[Client], Awaitable[None]], **limits: Any) -> None:
    async def go() -> None:
        sandboxes = Sandboxes(AsyncClient(str(stand_in.path)), Limits(**limits), "ours")
        async with Client(make_server(sandboxes)) as client:
            await work(client)

    asyncio.run(go())


async def call(client: Client, name: str, **arguments: object) -> Any:
    """What a tool answers; the text of its failure."""
    result = await client.call_tool(name, arguments)
    if result.is_error:
        return result.content[0].text  # type: ignore[union-attr]
    structured = result.structured_content
    assert structured is not None
    return structured.get("result", structured)


def test_agents_see_the_tools_and_their_arguments(stand_in: StandIn) -> None:
    async def look(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {
            "create_sandbox", "list_sandboxes", "exec", "read_file", "write_file", "list_files", "fork_sandbox",
            "snapshot_sandbox", "restore_sandbox", "list_ports", "delete_sandbox",
        }  # fmt: skip
        assert tools["exec"].input_schema["required"] == ["sandbox", "command"]
        assert all(tool.description for tool in tools.values())

    ask(stand_in, look)


def test_machines_of_others_do_not_exist_for_agents(stand_in: StandIn) -> None:
    async def look(client: Client) -> None:
        assert [one["name"] for one in await call(client, "list_sandboxes")] == ["dev"]
        for name, arguments in (
            ("exec", {"command": "id"}),
            ("read_file", {"path": "/etc/passwd"}),
            ("write_file", {"path": "/x", "content": ""}),
            ("list_files", {}),
            ("fork_sandbox", {}),
            ("snapshot_sandbox", {}),
            ("restore_sandbox", {"tag": "x"}),
            ("list_ports", {}),
            ("delete_sandbox", {}),
        ):
            failure = await call(client, name, sandbox="other", **arguments)
            assert "machine_not_found: no sandbox named" in failure, name

    ask(stand_in, look)
    assert {path for method, path in stand_in.calls if method != "GET"} == set()


def test_limits_are_told_in_words_and_nothing_is_made(stand_in: StandIn) -> None:
    async def try_all(client: Client) -> None:
        assert "the operator does not allow 9 CPUs" in await call(client, "create_sandbox", cpus=9)
        assert "the image 'ruby'" in await call(client, "create_sandbox", image="ruby")
        assert "2 sandboxes" in await call(client, "create_sandbox")
        assert "4 sandboxes" in await call(client, "fork_sandbox", sandbox="dev", count=3)
        assert "2 snapshots" in await call(client, "snapshot_sandbox", sandbox="dev")
        big = await call(client, "write_file", sandbox="dev", path="/x", content="x" * 11)
        assert "a file of 11B" in big
        assert "not base64" in await call(
            client, "write_file", sandbox="dev", path="/x", content="!", encoding="base64"
        )

    async def no_image(_: Request) -> Response:
        return JSONResponse({"error": {"code": "image_not_found", "message": "no"}}, 404)

    stand_in.answers["GET", "/v1/images/ruby"] = no_image
    ask(stand_in, try_all, sandboxes=1, snapshots=1, file_bytes=10)
    assert {path for method, path in stand_in.calls if method != "GET"} == set()


def test_a_sandbox_is_made_as_the_operator_says(stand_in: StandIn) -> None:
    async def make(client: Client) -> None:
        made = await call(client, "create_sandbox")
        assert (made["name"], made["image"]) == ("dev", "debian")

    ask(stand_in, make, ttl_s=60, disk_bytes=1 << 30)
    assert json.loads(stand_in.bodies[1]) == {
        "image": "debian-bookworm",
        "network": "none",
        "disk_bytes": 1 << 30,
        "ttl_s": 60,
        "labels": {LABEL: "ours"},
    }


def test_a_long_output_is_cut(stand_in: StandIn) -> None:
    stand_in.answers["POST", "/v1/machines/m1/exec"] = None

    async def run(client: Client) -> None:
        done = await call(client, "exec", sandbox="dev", command="cat", stdin="x" * 300_000)
        assert (done["exit_code"], done["output_was_cut"]) == (0, True) or done["stdout"] == ""

    ask(stand_in, run, output_bytes=1000)
    assert stand_in.requests[-1]["command"]["argv"] == ["/bin/sh", "-c", "cat"]


def test_a_servers_own_sandboxes_go_with_it(stand_in: StandIn) -> None:
    asyncio.run(Sandboxes(AsyncClient(str(stand_in.path)), Limits(), "ours").delete_all())
    gone = [path for method, path in stand_in.calls if method == "DELETE"]
    assert "/v1/machines/m1?force=true" in gone and "/v1/snapshots/dev/theirs" not in gone
    assert "/v1/snapshots/dev/ours" in gone


@pytest.mark.parametrize(("age_s", "left_s"), [(0, 60), (45, 15), (60, 1), (99, 1)])
def test_a_copy_lives_as_long_as_its_original_still_would(age_s: int, left_s: float) -> None:
    made = datetime(2026, 1, 31, 12, tzinfo=UTC)
    spec = MachineSpec(image="debian", ttl_s=60)
    machine = Machine(id="m", name="m", state=MachineState.RUNNING, spec=spec, created="2026-01-31T12:00:00Z")
    assert still_to_live_s(machine, made + timedelta(seconds=age_s)) == left_s


def test_without_the_protocols_package_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['mcp'] = None; from banger.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", code, "mcp"], capture_output=True, text=True)
    assert "pip install 'banger-vm[mcp]'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 401), ("Basic right", 401), ("right", 401), ("Bearer right", 200)],
)
def test_http_wants_the_token(header: str | None, status: int) -> None:
    async def greet(_: Request) -> Response:
        return PlainTextResponse("hello")

    app = WithToken(Starlette(routes=[Route("/mcp", greet)]), "right")
    sent: list[Any] = []

    async def go() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [] if header is None else [(b"authorization", header.encode())]
        scope = {"type": "http", "method": "GET", "path": "/mcp", "headers": headers, "query_string": b""}
        await app(scope, receive, send)

    asyncio.run(go())
    assert sent[0]["status"] == status
