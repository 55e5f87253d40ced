"""The jail of a program: `native/jail`, a static program that confines itself and then executes the other program.

Whether each layer of the jail is available depends on the kernel, on the host's rules for namespaces, and on the
daemon's user. `look` finds out once. The jail does without a missing layer, and banger shows that it is missing and
why.
"""

from __future__ import annotations

import functools
import os
import platform
import resource
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.model.sizes import GIB

NAMESPACES = ("user", "mount", "pid", "ipc", "uts", "net")
LANDLOCK = "landlock"
SECCOMP = "seccomp"
LAYERS = (*NAMESPACES, LANDLOCK, SECCOMP)
# What every program needs of the host's file system to start.
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
_TUN = "/dev/net/tun"
_PROBE_S = 10
_HELPER_MEMORY_BYTES = 2 * GIB
_HELPER_FILES = 256
# Numbers of capabilities (linux/capability.h) that root needs for files of other users.
READ_ALL = 2  # CAP_DAC_READ_SEARCH
WRITE_ALL = 1  # CAP_DAC_OVERRIDE
CHANGE_ALL = 3  # CAP_FOWNER
# And for a program that confines itself.
GIVE_AWAY = 0  # CAP_CHOWN
CHANGE_GROUPS = 6  # CAP_SETGID
CHANGE_USER = 7  # CAP_SETUID
CHANGE_MOUNTS = 21  # CAP_SYS_ADMIN
MAKE_DEVICES = 27  # CAP_MKNOD


# A resource limit: one number for both soft and hard limit, or a pair.
Bound = int | tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Jail:
    """What a program sees of this host, besides the system's libraries. A place may lie within another place; the
    innermost counts. `trees`: directories that the program may also make directories and links in; `sockets`:
    directories that it may also make sockets in. `network`: the program uses the host's network and resolver. `user`:
    number of the user and group that the program runs as, None for the daemon's; only root can choose another user.
    `capabilities`: numbers of the capabilities that the program keeps, if it has them. `bounds`: resource limits by
    their `RLIMIT_` numbers. `tap`: descriptor of the tap that the program gets when it asks for a tap by name, -1 for
    none; only for a program that is started with `spawn`. `without`: layers that the program does not get, because it
    has its own in their stead. `elsewhere`: where places are that have another path inside. `scratch`: an empty
    directory in memory where the program may make anything, devices and programs too; it ends with the program. Both
    need the layer "mount"."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    trees: tuple[Path, ...] = ()
    sockets: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    network: bool = False
    user: int | None = None
    capabilities: tuple[int, ...] = ()
    bounds: Mapping[int, Bound] = field(default_factory=dict)
    tap: int = -1
    without: frozenset[str] = frozenset()
    elsewhere: Mapping[Path, Path] = field(default_factory=dict)
    scratch: Path | None = None


class Layers(NamedTuple):
    """`held`: names of the layers that are available on this host; `missing`: for each other layer why not. `landlock`:
    version of the kernel's interface, 0 if there is none."""

    held: frozenset[str]
    missing: Mapping[str, str]
    landlock: int = 0


def bounds_of_helper(longest_file_bytes: int | None = None) -> dict[int, Bound]:
    """Limits of a program that reads what strangers have written, and runs to its end."""
    bounds: dict[int, Bound] = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: _HELPER_MEMORY_BYTES,
        resource.RLIMIT_NOFILE: _HELPER_FILES,
    }
    if longest_file_bytes is not None:
        bounds[resource.RLIMIT_FSIZE] = longest_file_bytes
    return bounds


def program() -> Path:
    """The path of the jail's program. Raises `tool_missing` if the program was not built."""
    path = Path(__file__).parent / "bin" / f"jail-{platform.machine()}"
    if not path.is_file():
        raise Error("tool_missing", f"the jail for {platform.machine()} is not built", "run make setup")
    return path


@functools.cache
def look() -> Layers:
    """The layers that are available to the daemon's user on this host. Tries each; takes some milliseconds the first
    time. Blocking."""
    try:
        said = subprocess.run(
            [program(), "--probe"],
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Layers(frozenset(), dict.fromkeys(LAYERS, f"the jail does not run: {exc}"))
    return read_probe(said, root=os.geteuid() == 0)


def read_probe(said: str, *, root: bool) -> Layers:
    """Read the output of `jail --probe`: one line per layer. Root does not need a user namespace, so its absence is not
    reported."""
    found = {name: told for name, _, told in (line.partition(" ") for line in said.splitlines())}
    held, missing = set(), {}
    for name in LAYERS:
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
    """The command line of the jail. The jail enters the control groups with these `entrances` and sets the `bounds`;
    with None for `jail` it confines nothing else. `directory`: working directory of the program, one of its places or
    the root. `report`: descriptor that the jail writes the process id to. Without `report` the program keeps the
    process id of the jail, and so cannot have a pid namespace of its own."""
    options = [f"--group={path}" for path in entrances]
    for kind, bound in {**(jail.bounds if jail else {}), **(bounds or {})}.items():
        soft, hard = bound if isinstance(bound, tuple) else (bound, bound)
        options.append(f"--limit={kind}={soft}:{hard}")
    options.append(f"--directory={directory}")
    if report is not None:
        options.append(f"--report={report}")
    if jail is not None:
        held = layers.held - jail.without - ({"net"} if jail.network else set())
        if report is None:
            held -= {"pid"}
        options += [f"--namespace={name}" for name in NAMESPACES if name in held]
        if LANDLOCK in held:
            options += ["--landlock", *([] if jail.network else ["--landlock-network"])]
        if SECCOMP in held:
            options += ["--seccomp", *([] if jail.network else ["--seccomp-network"])]
        if jail.tap >= 0:
            options.append(f"--tap={jail.tap}")
        if jail.user is not None:
            options += [f"--user={jail.user}", *_groups_of(jail.devices)]
        options += [f"--capability={number}" for number in jail.capabilities]
        if held & {"mount", LANDLOCK}:
            options += _places_of(jail, argv[0], has_tun=jail.tap >= 0 and "mount" not in held)
    return [str(program()), *options, "--", *argv]


def _groups_of(devices: Sequence[Path]) -> list[str]:
    """The option for the group of the first device, such as the group of /dev/kvm. The jail can take one such group
    only."""
    groups = [os.stat(device).st_gid for device in devices]
    return [f"--also-group={group}" for group in groups[:1] if group]


def _places_of(jail: Jail, program: str, *, has_tun: bool) -> list[str]:
    """Options for all places, sorted, so that a place comes before the places within it. The program is a place too,
    because it may be outside of /usr. `has_tun`: the device of taps is a place; a root directory of its own has
    something else there."""
    kinds: dict[str, str] = {path: _kind_of(path) for path in _SYSTEM if os.path.lexists(path)}
    kinds |= {str(path): _kind_of(path) for path in (_resolver_places() if jail.network else ())}
    if not any(Path(program).is_relative_to(system) for system in _SYSTEM):
        kinds[program] = "read"
    kinds |= {path: "device" for path in (*_DEVICES, *map(str, jail.devices), *([_TUN] if has_tun else []))}
    kinds |= {str(path): "write" for path in jail.write}
    kinds |= {str(path): "tree" for path in jail.trees}
    kinds |= {str(path): "sockets" for path in jail.sockets}
    kinds |= {str(path): "read" for path in jail.read}
    if jail.scratch is not None:
        kinds[str(jail.scratch)] = "scratch"
    elsewhere = {str(path): str(inside) for path, inside in jail.elsewhere.items()}
    options = []
    for path, kind in sorted(kinds.items(), key=lambda place: elsewhere.get(place[0], place[0])):
        options.append(f"--{kind}={path}")
        if path in elsewhere:
            options.append(f"--at={elsewhere[path]}")
    return options


def _kind_of(path: str | Path) -> str:
    """ "link" for a symbolic link of the system, which the jail makes again; "read" for other places."""
    return "link" if os.path.islink(path) else "read"


def _resolver_places() -> list[Path]:
    """Where the host's resolver has its configuration. If the file has a directory of its own, the whole directory is a
    place: the host replaces the file when its network changes."""
    if not _RESOLVER.exists():
        return []
    real = _RESOLVER.resolve()
    return (
        [_RESOLVER] if real == _RESOLVER else [_RESOLVER, real.parent if real.parent.name != "etc" else real]
    )
