"""The tools that agents see: names, arguments and what they answer. The SDK of the protocol makes schemas of them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from banger import __version__
from banger.errors import Error
from banger.mcp.sandboxes import Sandboxes
from banger.model.machine import Machine

P = ParamSpec("P")
T = TypeVar("T")

_INSTRUCTIONS = """\
Sandboxes are Linux virtual machines of their own: run any code in them. Make one with create_sandbox, then use exec,
read_file and write_file with its name. fork_sandbox copies a running sandbox with its memory; snapshot_sandbox and
restore_sandbox go back in time. Sandboxes are deleted by themselves when their time is over."""


def told(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """A tool whose failures the agent is told in words."""

    @functools.wraps(function)
    async def tool(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await function(*args, **kwargs)
        except Error as exc:
            hint = f" ({exc.hint})" if exc.hint else ""
            raise ToolError(f"{exc.code}: {exc.message}{hint}") from exc

    return tool


def describe(machine: Machine) -> dict[str, Any]:
    spec = machine.spec
    return {
        "name": machine.name,
        "state": machine.state.value,
        "image": spec.image,
        "cpus": spec.cpus,
        "memory_mib": spec.memory_mib,
        "network": spec.network,
        "created": machine.created,
        "ttl_s": spec.ttl_s,
    }


def make_server(sandboxes: Sandboxes) -> MCPServer:
    """The server with all tools."""
    server = MCPServer("banger", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    for tool in _tools(sandboxes):
        server.add_tool(told(tool))
    return server


def _tools(sandboxes: Sandboxes) -> list[Callable[..., Awaitable[Any]]]:
    async def create_sandbox(
        image: str = "", cpus: int = 1, memory_mib: int = 512, network: str = "none", ttl_s: float = 0
    ) -> dict[str, Any]:
        """Make and start a sandbox. Without an image it is the operator's default. `network` is what it may reach:
        "none", "internet", "lan" or "host". It is deleted after `ttl_s` seconds; 0 means the longest time allowed."""
        made = await sandboxes.create(image, cpus=cpus, memory_mib=memory_mib, network=network, ttl_s=ttl_s)
        return describe(made)

    async def list_sandboxes() -> list[dict[str, Any]]:
        """List the sandboxes."""
        return [describe(machine) for machine in await sandboxes.all()]

    async def exec(
        sandbox: str, command: str, stdin: str = "", cwd: str = "", timeout_s: float = 60
    ) -> dict[str, Any]:
        """Run a line in the shell of a sandbox, as root. After `timeout_s` seconds it is killed. A long output is
        cut."""
        return await sandboxes.exec(sandbox, command, stdin=stdin, cwd=cwd, timeout_s=timeout_s)

    async def read_file(sandbox: str, path: str) -> dict[str, str]:
        """Read a whole file. `encoding` of the answer is utf-8, or base64 for a file that is not text."""
        return await sandboxes.read(sandbox, path)

    async def write_file(sandbox: str, path: str, content: str, encoding: str = "utf-8") -> str:
        """Write a whole file; directories above it are made. `encoding` of the content is utf-8 or base64."""
        await sandboxes.write(sandbox, path, content, encoding)
        return f"{path} is written"

    async def list_files(sandbox: str, path: str = "/") -> list[dict[str, Any]]:
        """List a directory."""
        entries = await (await sandboxes.find(sandbox)).files.list(path)
        return [{"name": one.name, "type": one.type, "size_bytes": one.size_bytes} for one in entries]

    async def fork_sandbox(sandbox: str, count: int = 1) -> list[dict[str, Any]]:
        """Make running copies of a sandbox, with its memory, processes and files."""
        return [describe(machine) for machine in await sandboxes.fork(sandbox, count)]

    async def snapshot_sandbox(sandbox: str, tag: str = "") -> dict[str, Any]:
        """Save memory and files of a sandbox under a tag; the sandbox keeps running."""
        return {"tag": (await sandboxes.snapshot(sandbox, tag)).tag}

    async def restore_sandbox(sandbox: str, tag: str) -> dict[str, Any]:
        """Set a sandbox back to a snapshot."""
        return describe(await sandboxes.restore(sandbox, tag))

    async def list_ports(sandbox: str) -> list[dict[str, Any]]:
        """List what listens in a sandbox."""
        ports = await (await sandboxes.find(sandbox)).ports()
        return [
            {"port": one.port, "protocol": one.protocol, "address": one.address, "process": one.process}
            for one in ports
        ]

    async def delete_sandbox(sandbox: str) -> str:
        """Delete a sandbox and its snapshots."""
        await sandboxes.delete(sandbox)
        return f"{sandbox} is deleted"

    return [
        create_sandbox, list_sandboxes, exec, read_file, write_file, list_files, fork_sandbox, snapshot_sandbox,
        restore_sandbox, list_ports, delete_sandbox,
    ]  # fmt: skip
