"""Programs that make images, kernels and commits: whether they exist and start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from banger.doctor.check import Sight, install
from banger.doctor.host import Host
from banger.errors import Error
from banger.host.apt import require_keyring
from banger.host.run import find_tool, run

_START_S = 4.0


class Tool(NamedTuple):
    """`version` are the arguments that make the program print its version, which shows that it starts; empty if there
    are none."""

    name: str
    version: str
    package: str


E2FSPROGS = (
    Tool("mke2fs", "-V", "e2fsprogs"),
    Tool("tune2fs", "", "e2fsprogs"),
)
MMDEBSTRAP = (Tool("mmdebstrap", "--version", "mmdebstrap"),)
QEMU_IMG = (Tool("qemu-img", "--version", "qemu-utils"),)
UNPACKING = (
    Tool("dpkg-deb", "--version", "dpkg"),
    Tool("depmod", "--version", "kmod"),
    Tool("apt-get", "--version", "apt"),
)


def tools(*needed: Tool) -> Callable[[Host], Awaitable[Sight]]:
    """The check of all tools."""

    async def look(host: Host) -> Sight:
        broken = {tool: why for tool in needed if (why := await _why_not(tool))}
        if broken:
            return Sight(
                "; ".join(broken.values()),
                fine=False,
                mend=install(*dict.fromkeys(tool.package for tool in broken)),
            )
        return Sight(", ".join(find_tool(tool.name) for tool in needed))

    return look


async def _why_not(tool: Tool) -> str:
    try:
        find_tool(tool.name)
        if tool.version:
            await run([tool.name, tool.version], timeout_s=_START_S)
    except Error as exc:
        return exc.message
    except OSError as exc:
        return f"{tool.name} does not start: {exc.strerror}"
    return ""


async def look_at_keys(host: Host) -> Sight:
    try:
        return Sight(str(require_keyring()))
    except Error as exc:
        return Sight(exc.message, fine=False, mend=install("debian-archive-keyring"))
