"""The network: the taps of machines, and the archive that images are built from."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from banger.doctor.check import Mend, Sight, advise, install
from banger.doctor.host import Host
from banger.errors import Error, ToolMissing
from banger.host.apt import MIRROR_VARIABLE, find_mirrors
from banger.host.run import have_tool, run
from banger.network.guards import may_ask_for_echoes, open_echoes, try_taps
from banger.network.user_nat import has_ipv6

_ARCHIVE_S = 3
_USUAL_SUITE = "bookworm"
_APT_HELPER = "/usr/lib/apt/apt-helper"


async def look_at_taps(host: Host) -> Sight:
    """Whether a keeper of the guests' network comes up here, and gives a tap."""
    with tempfile.TemporaryDirectory(prefix="banger-doctor-") as directory:
        why = await try_taps(Path(directory))
    if why is None and not has_ipv6():
        return Sight(
            "machines get taps, so each has a policy of its own; with IPv4 alone, as this host has no IPv6"
        )
    if why is None:
        return Sight("machines get taps, so each has a policy of its own")
    return Sight(f"machines use the network of their VMMs: {why.message}", fine=False, mend=_mend_taps(why))


def _mend_taps(why: Error) -> Mend:
    if not have_tool("nft"):
        return install("nftables")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return Mend("modprobe tun && chmod 0666 /dev/net/tun", root=True)
    return advise(why.hint)


def look_at_pings(host: Host) -> Sight:
    """Whether the relay can ask for an echo in a guest's place."""
    if may_ask_for_echoes():
        return Sight("machines can ping what their policy allows")
    lent = open_echoes()
    for echo in lent:
        echo.close()
    if lent:
        return Sight("machines can ping what their policy allows, through raw sockets of root")
    return Sight(
        "net.ipv4.ping_group_range has no group of this user",
        fine=False,
        mend=Mend("sysctl -w net.ipv4.ping_group_range='0 2147483647'", root=True, optional=True),
    )


async def look_at_archive(host: Host) -> Sight:
    """Through apt itself, with its mirrors and proxies."""
    try:
        mirrors = await find_mirrors()
    except Error as exc:
        return Sight(exc.message, fine=False, mend=_mend_archive(exc))
    uri = f"{mirrors.main}/dists/{_USUAL_SUITE}/InRelease"
    why = await _fetch(uri)
    if why:
        return Sight(
            f"cannot fetch {uri}: {why}",
            fine=False,
            mend=advise(
                f"check the network, the proxy and the mirrors in apt's sources, or set {MIRROR_VARIABLE}"
            ),
        )
    return Sight(f"{mirrors.main} answers")


def _mend_archive(exc: Error) -> Mend:
    if isinstance(exc, ToolMissing):
        return install("apt")
    return Mend(
        f'export {MIRROR_VARIABLE}="http://deb.debian.org/debian http://deb.debian.org/debian-security"'
    )


async def _fetch(uri: str) -> str:
    """Why a file cannot be fetched; empty if it can."""
    settings: dict[str, object] = {"APT::Sandbox::User": "root", "Acquire::Retries": 0}
    settings |= {f"Acquire::{scheme}::Timeout": _ARCHIVE_S for scheme in ("http", "https")}
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    with tempfile.TemporaryDirectory(prefix="banger-doctor-") as directory:
        try:
            await run(
                [_APT_HELPER, *options, "download-file", uri, f"{directory}/InRelease"],
                timeout_s=_ARCHIVE_S + 1,
            )
        except OSError as exc:
            return f"{_APT_HELPER}: {exc.strerror}"
        except Error as exc:
            lines = str(exc.details.get("stderr", "")).splitlines()
            return next((line[2:].strip() for line in lines if line.startswith("E:")), exc.message)
    return ""
