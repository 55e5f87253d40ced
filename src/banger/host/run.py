"""The one place where programs start that run to their end.

Each program gets a clean environment (C.UTF-8, the proxies of this process) and no stdin unless the caller gives one.
Its command is logged in a form that a shell accepts, and its output is bounded. VMM processes, which outlive the
daemon, start in `host.spawn`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.environment import for_helpers
from banger.errors import Error
from banger.host.jail import Jail, look, prepare_command
from banger.host.proc import find_marked, send_signal
from banger.host.thread import in_thread

log = logging.getLogger("banger.run")

_MARKER = "BANGER_RUN"
_PIPES_S = 2.0
_KEEP_OUTPUT = 256 * 1024
# The Debian package of each tool, for the hint when the tool is missing.
_PACKAGE_OF = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "depmod": "kmod",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "unshare": "util-linux",
    "newuidmap": "uidmap",
    "nft": "nftables",
}
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Result:
    """`stdout` and `stderr` hold at most the last 256 KiB of each."""

    code: int
    stdout: bytes
    stderr: bytes


def find_tool(name: str) -> str:
    """The path of a program in PATH or in the sbin directories. Raises `tool_missing`."""
    path = shutil.which(name, path=clean_environment()["PATH"])
    if path is None:
        package = _PACKAGE_OF.get(name, name)
        raise Error("tool_missing", f"{name} is not installed", f"apt-get install {package}")
    return path


def have_tool(name: str) -> bool:
    try:
        find_tool(name)
    except Error:
        return False
    return True


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of this process that a tool needs; none that hold secrets. The locale is fixed."""
    kept = for_helpers(os.environ)
    kept["LANG"] = kept["LC_ALL"] = "C.UTF-8"
    kept["PATH"] = kept.get("PATH", os.defpath) + ":" + _SBIN
    kept["DEBIAN_FRONTEND"] = "noninteractive"
    kept.update(extra or {})
    return kept


async def run(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout_s: float = 60,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
    jail: Jail | None = None,
    before: Sequence[str] = (),
) -> Result:
    """Run a program to its end, in the `jail` if it reads what strangers have written. `before`: a program with its
    arguments that makes its caller root of a user namespace, and then executes all that follows.

    `on_line` gets each line of stderr at once, to report progress. A cancellation kills the program's process group and
    collects the program before it continues. Raises `tool_missing`, `timeout`, and with `check` also `tool_failed`,
    which has the last lines of stderr.
    """
    tool = find_tool(argv[0]) if "/" not in argv[0] else argv[0]
    log.debug("run: %s", shlex.join([tool, *argv[1:]]))
    token = os.urandom(8).hex()
    command = [tool, *argv[1:]]
    if jail is not None:
        layers = await in_thread(look)
        if (
            before
        ):  # it is in a user namespace already, and in another one it would lose the users of this one
            layers = layers._replace(held=layers.held - {"user"})
        command = prepare_command(command, jail, layers, directory=Path(cwd or "/"))
    if before:
        command = [find_tool(before[0]), *before[1:], *command]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=clean_environment({**(env or {}), _MARKER: token}),
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=1024 * 1024,
    )
    assert process.stdout is not None and process.stderr is not None
    out, err = bytearray(), bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async with asyncio.TaskGroup() as group:
                group.create_task(_drain(process.stdout, out, None))
                group.create_task(_drain(process.stderr, err, on_line))
                if stdin is not None:
                    group.create_task(_feed(process, stdin))
            code = await process.wait()
    except BaseException as exc:
        await _end(process, token)
        if isinstance(exc, TimeoutError):
            raise Error(
                "timeout", f"{argv[0]} did not finish within {timeout_s:g} s", "see the daemon's log"
            ) from exc
        raise
    if check and code != 0:
        raise Error(
            "tool_failed",
            f"{argv[0]} failed with {_describe(code)}: {_last_line(err) or _last_line(out)}",
            "run it by hand: " + shlex.join([*argv])[:500],
            {"stderr": bytes(err[-4000:]).decode("utf-8", "replace")},
        )
    return Result(code, bytes(out), bytes(err))


async def _drain(
    stream: asyncio.StreamReader, kept: bytearray, on_line: Callable[[str], None] | None
) -> None:
    partial = b""
    while chunk := await stream.read(65536):
        kept += chunk
        if len(kept) > _KEEP_OUTPUT:
            del kept[: len(kept) - _KEEP_OUTPUT]
        if on_line is not None:
            *lines, partial = (partial + chunk).split(b"\n")
            partial = partial[-4096:]
            for line in lines:
                on_line(line.decode("utf-8", "replace").rstrip())


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(data)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the exit code of the program says what went wrong
    finally:
        process.stdin.close()


async def _end(process: asyncio.subprocess.Process, token: str) -> None:
    """Kill the program and all its descendants: none outlives the call that started the program."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    for child in find_marked(_MARKER, token):
        send_signal(child, signal.SIGKILL)
    await asyncio.shield(_reap(process))


async def _reap(process: asyncio.subprocess.Process) -> None:
    """Collect the program, and read its pipes to their ends, which closes them: no process is left that could write to
    them."""
    await process.wait()
    assert process.stdout is not None and process.stderr is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PIPES_S):
            while await process.stdout.read(65536) or await process.stderr.read(65536):
                pass


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_line(output: bytearray) -> str:
    lines = bytes(output[-2000:]).decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:400] if lines else "it printed nothing"
