"""The jail that a program is put in before it begins: `native/jail`, a static program that confines itself and then
becomes the other one.

Each of its layers is there or not, depending on the kernel, on the host's rules for namespaces, and on who we are.
`look` asks once. What is missing is left out and named; nothing is left out in silence.
"""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error

NAMESPACES = ("user", "mount", "pid", "ipc", "uts", "net")
LANDLOCK = "landlock"
# What programs of a host need of it to begin at all.
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/bin",
    "/sbin",
    "/etc/ld.so.cache",
    "/nix/store",
    "/gnu/store",
)
_RESOLVER = Path("/etc/resolv.conf")
_DEVICES = ("/dev/null", "/dev/urandom")
_PROBE_S = 10


# A resource limit: soft and hard alike, or one after the other.
Bound = int | tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Jail:
    """What a program sees of this host, beside its system's libraries. Each place may lie within another one; the
    innermost counts. `network`: it keeps the host's, and its resolver's addresses. `user`: the number of the user and
    group that it runs as, None for our own; only root can say another."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    network: bool = False
    user: int | None = None


class Layers(NamedTuple):
    """`held`: names of layers that this host lets us have; `missing`: why not, by name. `landlock` is the version of
    the kernel's interface, 0 without."""

    held: frozenset[str]
    missing: Mapping[str, str]
    landlock: int = 0


def program() -> Path:
    """Raises `tool_missing` when it was not built."""
    path = Path(__file__).parent / "bin" / f"jail-{platform.machine()}"
    if not path.is_file():
        raise Error("tool_missing", f"the jail for {platform.machine()} is not built", "run make setup")
    return path


@functools.cache
def look() -> Layers:
    """Which layers this host has for us, tried one by one. Blocking, some milliseconds the first time."""
    try:
        said = subprocess.run(
            [program(), "--probe"],
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Layers(frozenset(), dict.fromkeys((*NAMESPACES, LANDLOCK), f"the jail does not run: {exc}"))
    return read_probe(said, root=os.geteuid() == 0)


def read_probe(said: str, *, root: bool) -> Layers:
    """What `jail --probe` prints: a line for each layer. Root has no use for a user namespace."""
    found = {name: told for name, _, told in (line.partition(" ") for line in said.splitlines())}
    held, missing = set(), {}
    for name in (*NAMESPACES, LANDLOCK):
        told = found.get(name, "the jail did not try it")
        if told.partition(" ")[0] == "ok":
            held.add(name)
        elif name != "user" or not root:
            missing[name] = told
    if root:
        held.discard("user")
    version = found.get(LANDLOCK, "").partition(" ")[2]
    return Layers(frozenset(held), missing, int(version) if LANDLOCK in held and version.isdigit() else 0)


def prepare_command(
    argv: Sequence[str],
    jail: Jail | None,
    layers: Layers,
    *,
    directory: Path,
    entrances: Sequence[Path] = (),
    bounds: Mapping[int, Bound] | None = None,
    report: int | None = None,
) -> list[str]:
    """The command line of the jail. With None it enters the control groups with those `entrances`, takes the `bounds`,
    and confines nothing else. `directory` is where the program begins: one of its places, or the root.
    `report` is the descriptor that the process id is written to; without it, the program is the process that is
    started, and so in no pid namespace of its own."""
    options = [f"--group={path}" for path in entrances]
    for kind, bound in (bounds or {}).items():
        soft, hard = bound if isinstance(bound, tuple) else (bound, bound)
        options.append(f"--limit={kind}={soft}:{hard}")
    options.append(f"--directory={directory}")
    if report is not None:
        options.append(f"--report={report}")
    if jail is not None:
        held = layers.held - ({"net"} if jail.network else set())
        if report is None:
            held -= {"pid"}
        options += [f"--namespace={name}" for name in NAMESPACES if name in held]
        if LANDLOCK in held:
            options += ["--landlock", *([] if jail.network else ["--landlock-network"])]
        if jail.user is not None:
            options += [f"--user={jail.user}", *_groups_of(jail.devices)]
        if held & {"mount", LANDLOCK}:
            options += _places_of(jail, argv[0])
    return [str(program()), *options, "--", *argv]


def _groups_of(devices: Sequence[Path]) -> list[str]:
    """The group that a device belongs to, as /dev/kvm does; only the first is."""
    groups = [os.stat(device).st_gid for device in devices]
    return [f"--also-group={group}" for group in groups[:1] if group]


def _places_of(jail: Jail, program: str) -> list[str]:
    """Sorted, so that a place comes before those within it. The program is a place, too: it may be outside of /usr."""
    kinds: dict[str, str] = {path: _kind_of(path) for path in _SYSTEM if os.path.lexists(path)}
    kinds |= {str(path): _kind_of(path) for path in (_resolver_places() if jail.network else ())}
    if not any(Path(program).is_relative_to(system) for system in _SYSTEM):
        kinds[program] = "read"
    kinds |= {path: "device" for path in (*_DEVICES, *map(str, jail.devices))}
    kinds |= {str(path): "write" for path in jail.write}
    kinds |= {str(path): "read" for path in jail.read}
    return [f"--{kind}={path}" for path, kind in sorted(kinds.items())]


def _kind_of(path: str | Path) -> str:
    """How a place of the system is taken: as the link that it is, or as what it holds."""
    return "link" if os.path.islink(path) else "read"


def _resolver_places() -> list[Path]:
    """Where the host's name servers are written. A directory that is for nothing else is taken as a whole: its file is
    replaced when the host's network changes."""
    if not _RESOLVER.exists():
        return []
    real = _RESOLVER.resolve()
    return (
        [_RESOLVER] if real == _RESOLVER else [_RESOLVER, real.parent if real.parent.name != "etc" else real]
    )
