"""The network: the links of machines, and the archive that images are built from."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from banger.doctor.check import Mend, Sight, advise, install
from banger.doctor.host import Host
from banger.errors import Error, ToolMissing
from banger.host.apt import MIRROR_VARIABLE, find_mirrors
from banger.host.run import have_tool, run

_CAP_NET_ADMIN = 12
_ARCHIVE_S = 3
_LINKS_S = 4.0
_USUAL_SUITE = "bookworm"
_APT_HELPER = "/usr/lib/apt/apt-helper"
_TOOLS = {"ip": "iproute2", "nft": "nftables"}
# In a network namespace of its own, which ends with it: nothing of this host's network is touched.
_TRY_LINKS = """\
ip link add trial type bridge && echo bridge
ip tuntap add trial-tap mode tap && echo tap
nft add table inet trial && echo nftables
:"""
_ALL = ("tap", "bridge", "nftables")


async def look_at_links(host: Host) -> Sight:
    """What machines would need for more than QEMU's own user-mode network, which the trial machine tries."""
    missing = [package for tool, package in _TOOLS.items() if not have_tool(tool)]
    works = await _try_links()
    rights = "" if _have_rights() else f"{host.user} has no CAP_NET_ADMIN"
    lacks = [f"no {name}" for name in _ALL if name not in works] + ([rights] if rights else [])
    if not lacks:
        return Sight("tap, bridge and nftables work; machines use QEMU's user-mode network")
    return Sight(
        "machines use QEMU's user-mode network, which needs no setup on this host; " + ", ".join(lacks),
        fine=False,
        mend=install(*missing) if missing else _mend_links(works),
    )


async def _try_links() -> set[str]:
    mapping = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    try:
        result = await run(
            ["unshare", *mapping, "--net", "sh", "-c", _TRY_LINKS], check=False, timeout_s=_LINKS_S
        )
    except Error:
        return set()
    return set(result.stdout.decode().split())


def _mend_links(works: set[str]) -> Mend:
    if "tap" not in works and not Path("/dev/net/tun").exists():
        return Mend("modprobe tun", root=True)
    if "bridge" not in works and "nftables" not in works:
        return advise("only root may set up links; banger does not need them today")
    return advise("banger does not need more today")


def _have_rights() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return effective is not None and bool(int(effective[1], 16) >> _CAP_NET_ADMIN & 1)


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
