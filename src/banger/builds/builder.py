"""The machine in which buildah runs.

A context directory has a machine of its own, which is stopped between builds: its disk is the cache. A Dockerfile can
do anything to the machine that builds it, so no other directory uses that machine. A build that finds the machine in
use gets a machine that is deleted at its end, and so does a build without a directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from banger.builds.hands import Hands
from banger.client import calls
from banger.errors import Error
from banger.model.sizes import GIB

IMAGE = "debian-bookworm-builder"
LABEL = "banger.build"
NETWORKS = ("", "none", "internet", "lan", "host")
_DISK_BYTES = 20 * GIB
# After this time without use a cache goes, and so does a machine whose client was killed.
_KEEP_S = 7 * 86400.0
_IDLE_S = 120.0
_STOP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of the machine. `network` is a policy, as of `run`; empty means the usual one."""

    cpus: int = 1
    memory_mib: int = 1024
    network: str = ""


@contextmanager
def open_builder(hands: Hands, directory: str, size: Size, fresh: bool) -> Iterator[str]:
    """The name of a running machine that no other build uses. With `fresh` it has no cache. `directory` is the real
    path of the context, empty if there is none. Raises the errors of a start."""
    with _held(directory) as is_held:
        if directory and not is_held:
            hands.warn(f"another build of {directory} runs: this build goes without the cache")
        kept = directory if is_held else ""
        name = _name(kept, size.network)
        if kept:
            _take(hands, name, kept, size, fresh)
        else:
            _make(hands, name, "", size)
        try:
            hands.finish(calls.machines_start(name))
            yield name
        finally:
            with contextlib.suppress(Error):
                _leave(hands, name, bool(kept))


def prune(hands: Hands) -> list[str]:
    """Delete the machines with the caches that no build uses now. Returns their names."""
    gone = []
    for machine in _machines(hands):
        name, directory = str(machine.get("name", "")), str(_spec(machine, "labels").get(LABEL, ""))
        # A fork has the label, too.
        if not directory or name not in [_name(directory, network) for network in NETWORKS]:
            continue
        with _held(directory) as is_held:
            if is_held or not os.path.isdir(directory):
                hands.call(calls.machines_delete(name, force=True))
                gone.append(name)
    return gone


@contextmanager
def _held(directory: str) -> Iterator[bool]:
    """Whether no other process builds the directory. The lock is the kernel's, and ends with the
    process."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if directory else -1
    except OSError:
        fd = -1
    try:
        if fd < 0:
            yield False
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = True
        except OSError:
            is_held = False
        yield is_held
    finally:
        if fd >= 0:
            os.close(fd)


def _name(directory: str, network: str) -> str:
    if not directory:
        return f"build-{secrets.token_hex(5)}"
    key = hashlib.sha256(os.fsencode(f"{directory}\0{network}")).hexdigest()[:10]
    word = re.sub(r"[^a-z0-9]+", "-", os.path.basename(directory).lower())[:30].strip("-")
    return f"build-{word}-{key}" if word else f"build-{key}"


def _take(hands: Hands, name: str, directory: str, size: Size, fresh: bool) -> None:
    """Leave the machine of the directory stopped, with this size."""
    was = next((one for one in _machines(hands) if one.get("name") == name), None)
    if was is not None and _spec(was, "labels").get(LABEL) != _label(directory):
        raise Error(
            "name_taken", f"the machine {name} is not one of `banger build`", f"banger rename {name} NEW"
        )
    if was is not None and (fresh or was.get("state") == "failed"):
        hands.call(calls.machines_delete(name, force=True))
        was = None
    if was is None:
        _make(hands, name, directory, size)
        return
    if was.get("state") not in ("stopped", "created"):  # its client was killed
        hands.finish(calls.machines_stop(name, _STOP_S))
    hands.call(calls.machines_update(name, ttl_s=_KEEP_S, cpus=size.cpus, memory_mib=size.memory_mib))


def _make(hands: Hands, name: str, directory: str, size: Size) -> None:
    hands.call(
        calls.machines_create(
            image=IMAGE,
            name=name,
            cpus=size.cpus,
            memory_mib=size.memory_mib,
            disk_bytes=_DISK_BYTES,
            init="agent",
            network=size.network,  # type: ignore[arg-type]  # the daemon checks it
            cold=True,
            ttl_s=_KEEP_S,
            idle_pause_s=_IDLE_S,
            labels={LABEL: _label(directory)},
        )
    )


def _leave(hands: Hands, name: str, kept: bool) -> None:
    if kept:
        hands.finish(calls.machines_stop(name, _STOP_S))
    else:
        hands.call(calls.machines_delete(name, force=True))


def _machines(hands: Hands) -> list[dict[str, object]]:
    answer = hands.call(calls.machines_list())
    return [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []


def _spec(machine: dict[str, object], *fields: str) -> dict[str, object]:
    """The specification, or what it has in a field; empty if there is none."""
    found: object = machine
    for field in ("spec", *fields):
        found = found.get(field) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _label(directory: str) -> str:
    return os.fsencode(directory).decode("utf-8", "replace")
