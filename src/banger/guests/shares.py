"""Directories of the host in a guest: the server that opens them, and the agent that mounts them.

The server (`native/share`) is a process of its own for each machine, with the rights of the daemon's user and in a jail
that has these directories and nothing else of the user's. It has the VMM's stream to the guest, so that no byte of a
file passes the daemon, and outlives the daemon.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Sequence
from pathlib import Path

from banger.agent.connection import AgentConnection, FieldList
from banger.errors import Error
from banger.guests.guest import note_process
from banger.host import cpu, jail
from banger.host.jail import Jail
from banger.host.proc import ProcessRef, is_alive
from banger.host.spawn import spawn_detached
from banger.host.thread import in_thread
from banger.model.mount import Mount
from banger.model.sizes import MIB
from banger.resources import kinds
from banger.resources.vmm_process import process_of
from banger.store.resources import Identity, ResourceTable
from banger.vmm.base import Vm, VmPlaces
from banger.wire.constants import ShareFlag, Tag, Type

_FILES = 16384 + 64
_MEMORY_BYTES = 512 * MIB
_MOUNT_S = 30.0


def program() -> Path:
    """The path of the server. Raises `tool_missing` if it was not built."""
    path = Path(__file__).parent / "bin" / f"share-{platform.machine()}"
    if not path.is_file():
        raise Error(
            "tool_missing",
            f"the server of directories for {platform.machine()} is not built",
            "run make setup",
        )
    return path


def find_sources(mounts: Sequence[Mount]) -> list[Path]:
    """The sources without links on the way to them. Blocking. Raises `bad_mount` for a source that is not there, that
    this user cannot open, or that is neither a directory nor a file."""
    return [_find_source(Path(mount.source)) for mount in mounts]


def _find_source(path: Path) -> Path:
    try:
        real = path.resolve(strict=True)
        os.close(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY))
    except (OSError, RuntimeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is a link to itself"
        hint = (
            f"mkdir -p {path}" if isinstance(exc, FileNotFoundError) else "name a directory that you can read"
        )
        raise Error("bad_mount", f"cannot share {path}: {why}", hint) from exc
    if not (real.is_dir() or real.is_file()):
        raise Error(
            "bad_mount", f"cannot share {path}: it is neither a directory nor a file", "name a directory"
        )
    if real == Path("/"):
        raise Error(
            "bad_mount", "cannot share /: it has the devices of this host", "name a directory below /"
        )
    return real


def find_server(resources: ResourceTable, owner: str) -> ProcessRef | None:
    """The server that serves the owner's guest now, perhaps since an earlier daemon."""
    for held in resources.of_machine(owner):
        process = process_of(held.identity) if held.kind == kinds.SHARE.name else None
        if process is not None and is_alive(process):
            return process
    return None


async def start_server(
    resources: ResourceTable, owner: str, places: VmPlaces, vm: Vm, mounts: Sequence[Mount]
) -> ProcessRef:
    """Start a server for the guest, in the place of a server that has ended. Raises `bad_mount`, `jail_failed`,
    `tool_missing`, OSError if the VMM does not offer the stream."""
    sources = await in_thread(find_sources, mounts)
    directory = places.run_directory / "shares"
    await in_thread(_make_directory, directory)
    for ended in resources.of_machine(owner):
        if ended.kind == kinds.SHARE.name:
            await kinds.SHARE.release(ended.identity)
            resources.clear(ended.id)
    identity: Identity = {"marker": f"share-{owner}", "boot": cpu.boot_id()}
    stream = await vm.open_shares()
    with stream:
        noted = resources.note(owner, kinds.SHARE.name, identity)
        argv, confined = plan_server(program(), stream.fileno(), mounts, sources, directory)
        process = await in_thread(
            lambda: spawn_detached(
                argv,
                marker=str(identity["marker"]),
                output=places.directory / "shares.log",
                cwd=directory,
                pass_fds=[stream.fileno()],
                jail=confined,
            )
        )
    note_process(resources, noted, identity, process)
    return process


def _make_directory(directory: Path) -> None:
    """An empty one to work in: the machine's own would make it look like the machine's VMM."""
    directory.mkdir(mode=0o700, exist_ok=True)


def plan_server(
    server: Path, stream: int, mounts: Sequence[Mount], sources: Sequence[Path], directory: Path
) -> tuple[list[str], Jail]:
    """The command line and the jail. A directory in the jail is writable if the guest may write to it, or to a
    directory above it; where only another mount may write, the server refuses."""
    pairs = list(zip(mounts, sources, strict=True))
    writable = [source for mount, source in pairs if not mount.read_only]
    trees = {source for source in sources if any(source.is_relative_to(above) for above in writable)}
    argv = [str(server), f"--channel={stream}"]
    argv += [f"--mount={'ro' if mount.read_only else 'rw'}:{source}" for mount, source in pairs]
    return argv, Jail(
        read=(directory, *(source for source in dict.fromkeys(sources) if source not in trees)),
        trees=tuple(source for source in dict.fromkeys(sources) if source in trees),
        capabilities=(jail.READ_ALL, jail.WRITE_ALL, jail.CHANGE_ALL),
        bounds={resource.RLIMIT_NOFILE: _FILES, resource.RLIMIT_DATA: _MEMORY_BYTES},
    )


async def mount_all(
    connection: AgentConnection, mounts: Sequence[Mount], sources_are_files: Sequence[bool], user: str
) -> None:
    """Let the agent mount them. `user`: to whom the files belong there, as the image writes users. Raises
    `agent_error`, `user_not_found`, `agent_lost`, `agent_silent`."""
    await connection.request(Type.SHARE, prepare_share(mounts, sources_are_files, user), _MOUNT_S)


def prepare_share(mounts: Sequence[Mount], sources_are_files: Sequence[bool], user: str) -> FieldList:
    """The fields of a SHARE request. Pure."""
    if user:
        yield Tag.USER, user
    for mount, is_file in zip(mounts, sources_are_files, strict=True):
        yield Tag.TARGET, mount.target
        yield Tag.SHARE_FLAGS, ShareFlag.READ_ONLY * mount.read_only | ShareFlag.IS_FILE * is_file
