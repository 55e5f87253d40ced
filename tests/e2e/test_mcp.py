"""`banger mcp` as an agent uses it: the protocol's own client, the real server, real machines."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.support.home import IMAGE, Home, wait_until

pytestmark = pytest.mark.e2e


async def call(client: Client, name: str, **arguments: object) -> Any:
    """What a tool answers; the text of its failure."""
    result = await client.call_tool(name, arguments)
    if result.is_error:
        return result.content[0].text  # type: ignore[union-attr]
    assert result.structured_content is not None
    return result.structured_content.get("result", result.structured_content)


def test_an_agent_works_in_sandboxes_and_they_go_with_its_server(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    words = ["-m", "banger.cli.main", "mcp", "--max-sandboxes", "3", "--max-ttl", "10m", "--network", "none"]
    server = StdioServerParameters(command=sys.executable, args=words, env=home.env)

    async def work() -> set[str]:
        async with Client(stdio_client(server)) as client:
            made = await call(client, "create_sandbox", memory_mib=256)
            sandbox = made["name"]
            assert (made["state"], made["ttl_s"], made["network"]) == ("running", 600, "none")
            done = await call(
                client, "exec", sandbox=sandbox, command="cat; echo err >&2; exit 3", stdin="in"
            )
            assert (done["stdout"], done["stderr"], done["exit_code"]) == ("in", "err\n", 3)
            slow = await call(client, "exec", sandbox=sandbox, command="sleep 100", timeout_s=0.5)
            assert slow["timed_out"]
            await call(client, "write_file", sandbox=sandbox, path="/srv/a/b", content="before")
            assert (await call(client, "read_file", sandbox=sandbox, path="/srv/a/b"))["content"] == "before"
            files = await call(client, "list_files", sandbox=sandbox, path="/srv/a")
            assert files == [{"name": "b", "type": "file", "size_bytes": 6}]
            tag = (await call(client, "snapshot_sandbox", sandbox=sandbox))["tag"]
            await call(client, "write_file", sandbox=sandbox, path="/srv/a/b", content="after")
            copies = await call(client, "fork_sandbox", sandbox=sandbox, count=2)
            assert (await call(client, "read_file", sandbox=copies[1]["name"], path="/srv/a/b"))[
                "content"
            ] == "after"
            assert all(0 < copy["ttl_s"] < 600 for copy in copies)
            assert "at most 3" in await call(client, "create_sandbox")
            await call(client, "restore_sandbox", sandbox=sandbox, tag=tag)
            assert (await call(client, "read_file", sandbox=sandbox, path="/srv/a/b"))["content"] == "before"
            assert isinstance(await call(client, "list_ports", sandbox=sandbox), list)
            await call(client, "delete_sandbox", sandbox=copies[0]["name"])
            assert len(await call(client, "list_sandboxes")) == 2
            assert "machine_not_found" in await call(client, "exec", sandbox=name, command="id")
            assert "does not allow network internet" in await call(
                client, "create_sandbox", network="internet"
            )
            assert "does not allow the image" in await call(client, "create_sandbox", image="rootfs:/etc")
            return {sandbox, copies[1]["name"]}

    made = asyncio.run(work())
    wait_until(lambda: not made & {one["name"] for one in home.json("ps")}, 60, "sandboxes are deleted")
    assert home.text("exec", name, "--", "echo", "alive") == "alive\n"
    home.text("vm", "delete", "-f", name)


def test_http_serves_those_who_have_the_token(home: Home) -> None:
    made_there: list[str] = []
    process = home.popen("mcp", "--http", "0", stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        told = process.stderr.readline() + process.stderr.readline()
        found = re.fullmatch(
            rb"serving on (http://127\.0\.0\.1:\d+/mcp)\nAuthorization: (Bearer \S+)\n", told
        )
        assert found, told
        place, token = found[1].decode(), found[2].decode()

        async def work() -> None:
            async with httpx2.AsyncClient() as web:
                assert (await web.post(place, json={})).status_code == 401
            async with httpx2.AsyncClient(headers={"Authorization": token}) as web:
                assert (await web.post(place, json={}, headers={"Host": "evil.example"})).status_code == 421
                async with Client(streamable_http_client(place, http_client=web)) as client:
                    made = await call(client, "create_sandbox", memory_mib=256)
                    made_there.append(made["name"])
                async with Client(streamable_http_client(place, http_client=web)) as client:
                    assert [one["name"] for one in await call(client, "list_sandboxes")] == [made["name"]]

        asyncio.run(work())
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert made_there and not set(made_there) & {one["name"] for one in home.json("ps")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_that_waits_for_its_client(home: Home, number: int) -> None:
    process = home.popen("mcp", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdin is not None and process.stdout is not None
        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
        _, said = process.communicate(timeout=30)
    assert said == b""
