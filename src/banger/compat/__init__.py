"""The SDK in the shape that programs for hosted sandboxes expect.

    from banger.compat import Sandbox

    with Sandbox.create() as sandbox:
        print(sandbox.commands.run("echo hi").stdout)

It has what agents use most: `commands`, `files`, `kill`, `set_timeout`, `get_host`, `connect`. Names and meanings are
those of E2B's Python SDK, as far as a machine on this host has the same; docs/python.md has the differences.
"""

from banger.compat.aio_sandbox import AsyncCommandHandle, AsyncSandbox
from banger.compat.errors import (
    CommandExitException,
    NotFoundException,
    SandboxException,
    TimeoutException,
)
from banger.compat.results import CommandResult, EntryInfo, FileType
from banger.compat.sandbox import Sandbox
from banger.compat.sync_sandbox import CommandHandle

__all__ = [
    "AsyncCommandHandle",
    "AsyncSandbox",
    "CommandExitException",
    "CommandHandle",
    "CommandResult",
    "EntryInfo",
    "FileType",
    "NotFoundException",
    "Sandbox",
    "SandboxException",
    "TimeoutException",
]
