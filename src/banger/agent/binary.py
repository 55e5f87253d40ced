"""The places of the agent's static binaries. `make setup` puts them into the package."""

from __future__ import annotations

from pathlib import Path

from banger.errors import Error

_FILE_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


def agent_binary(architecture: str) -> Path:
    """The binary for an architecture in OCI's terms. Raises `tool_missing` if it was not built."""
    name = "agent-" + _FILE_ARCHITECTURES.get(architecture, architecture)
    path = Path(__file__).parent / "bin" / name
    if not path.is_file():
        raise Error("tool_missing", f"the guest agent for {architecture} is not built", "run make setup")
    return path
