"""What the operator of the MCP server allows agents. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from banger.errors import Error
from banger.model.network import Policy
from banger.model.sizes import GIB, MIB, format_size

# From the narrowest to the widest.
POLICIES: tuple[Policy, ...] = ("none", "internet", "lan", "host")
# A name in a registry or a catalog. Sources that are files of this host are spelt in other ways, or in these words.
_NAME = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_FILES = (
    "oci",
    "oci-archive",
    "docker-archive",
    "tar",
    "rootfs",
    "disk",
    "dir",
    "machine",
    "docker",
    "docker-daemon",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`images` are patterns of names, such as "python:*", that may be pulled; images that are here already may be used
    in any case, and `default_image` too. `network` is the widest policy. `ttl_s` is how long a sandbox lives."""

    sandboxes: int = 8
    snapshots: int = 8
    ttl_s: float = 3600.0
    cpus: int = 2
    memory_mib: int = 1024
    disk_bytes: int = 8 * GIB
    images: tuple[str, ...] = ()
    default_image: str = "debian-bookworm"
    network: Policy = "internet"
    output_bytes: int = 256 * 1024
    file_bytes: int = 4 * MIB
    exec_s: float = 600.0


def may_pull(limits: Limits, image: str) -> bool:
    """Whether an agent may have an image fetched."""
    if image == limits.default_image:
        return True
    if not _NAME.fullmatch(image) or image.partition(":")[0] in _FILES:
        return False
    return any(fnmatchcase(image, pattern) for pattern in limits.images)


def check_sandbox(limits: Limits, *, cpus: int, memory_mib: int, network: str, ttl_s: float) -> Policy:
    """The policy, if all is within the limits. Raises `not_permitted` for more than the operator allows, `bad_request`
    for a policy that does not exist."""
    policy = next((one for one in POLICIES if one == network), None)
    if policy is None:
        raise Error(
            "bad_request", f"unknown network policy {network!r}", f"choose one of: {', '.join(POLICIES)}"
        )
    if POLICIES.index(policy) > POLICIES.index(limits.network):
        raise refuse(f"network {network}", f"at most {limits.network}")
    if cpus > limits.cpus:
        raise refuse(f"{cpus} CPUs", f"at most {limits.cpus}")
    if memory_mib > limits.memory_mib:
        raise refuse(f"{memory_mib} MiB of memory", f"at most {limits.memory_mib}")
    if not 0 < ttl_s <= limits.ttl_s:
        raise refuse(f"{ttl_s:g} s to live", f"more than 0 and at most {limits.ttl_s:g}")
    return policy


def check_count(count: int, more: int, most: int, what: str) -> None:
    """Raises `not_permitted` if `more` than the `count` that exist would be too many."""
    if count + more > most:
        raise refuse(f"{count + more} {what}", f"at most {most}; delete some first")


def check_file(limits: Limits, size_bytes: int) -> None:
    if size_bytes > limits.file_bytes:
        raise refuse(f"a file of {format_size(size_bytes)}", f"at most {format_size(limits.file_bytes)}")


def refuse(what: str, allowed: str) -> Error:
    return Error("not_permitted", f"the operator does not allow {what}: {allowed}")
