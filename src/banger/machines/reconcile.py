"""The store and the host, compared: machines whose records are wrong, and things in our name that no record leads to.

What a machine's record says is set right. Leftovers are listed, and removed when that is asked for: a directory that
nobody knows may be all that is left of a machine whose record was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from banger.errors import Error
from banger.host.fs import remove_tree
from banger.host.proc import ProcessRef, all_marked, kill_and_wait, working_directory
from banger.host.spawn import MARKER
from banger.machines.adopt import reattach, settle
from banger.machines.parts import Parts
from banger.machines.states import LIVE
from banger.model.machine import Machine, MachineState
from banger.model.report import Leftover, Reconciliation, SettledMachine


async def reconcile(parts: Parts, *, dry_run: bool, remove: bool) -> Reconciliation:
    """With `dry_run` nothing is changed; with `remove` leftovers are removed."""
    wrong = [machine for machine in parts.registry.all() if _is_wrong(parts, machine)]
    machines = [await _set_right(parts, machine, dry_run) for machine in wrong]
    leftovers = await find_leftovers(parts)
    if remove and not dry_run:
        for leftover, target in leftovers:
            await _remove(leftover, target)
    return Reconciliation(
        machines=machines, leftovers=[leftover for leftover, _ in leftovers], dry_run=dry_run
    )


def _is_wrong(parts: Parts, machine: Machine) -> bool:
    """Its record says that it is alive, or on its way, and nobody looks after it."""
    looked_after = (
        machine.id in parts.live or machine.id in parts.starting or parts.locks[machine.id].locked()
    )
    return not looked_after and (machine.state in LIVE or machine.state is MachineState.DELETING)


async def _set_right(parts: Parts, machine: Machine, dry_run: bool) -> SettledMachine:
    was = machine.state.value
    if not dry_run:
        reattach(parts, machine)
        await settle(parts, machine)
    found = machine.state.value if parts.registry.has(machine) else "deleted"
    return SettledMachine(
        name=machine.name, was=was, now="stopped" if dry_run else found, reason=machine.reason
    )


Target = ProcessRef | Path


async def find_leftovers(parts: Parts) -> list[tuple[Leftover, Target]]:
    """The host is looked at before the records: what is made meanwhile has its record first."""
    processes, directories = await asyncio.to_thread(_look, parts)
    known = [resource.identity for resource in parts.store.resources.all()]
    markers = {str(identity.get("marker")) for identity in known if "marker" in identity}
    paths = {str(identity.get("path")) for identity in known if "path" in identity}
    found: list[tuple[Leftover, Target]] = [
        (Leftover(kind="process", what=f"{process.pid} ({marker})"), process)
        for process, marker in processes
        if marker not in markers
    ]
    found += [
        (Leftover(kind="directory", what=str(directory)), directory)
        for directory in directories
        if str(directory) not in paths
    ]
    return found


def _look(parts: Parts) -> tuple[list[tuple[ProcessRef, str]], list[Path]]:
    return [*_our_processes(parts)], [*_our_directories(parts)]


def _our_processes(parts: Parts) -> Iterator[tuple[ProcessRef, str]]:
    """VMMs that were started from this home, by where they are."""
    home = str(parts.paths.state.resolve())
    for process, marker in all_marked(MARKER):
        where = working_directory(process).removesuffix(" (deleted)")
        if where == home or where.startswith(home + "/"):
            yield process, marker


def _our_directories(parts: Parts) -> Iterator[Path]:
    """Those that exist only as long as a record leads to them."""
    paths = parts.paths
    for root, pattern in (
        (paths.machines, "*"),
        (paths.vm_run, "*"),
        (paths.snapshots, ".*"),
        (paths.templates, ".*"),
    ):
        yield from sorted(root.glob(pattern))


async def _remove(leftover: Leftover, target: Target) -> None:
    try:
        if isinstance(target, Path):
            await asyncio.to_thread(remove_tree, target)
            leftover.removed = not target.exists()
        else:
            leftover.removed = await kill_and_wait(target)
    except (Error, OSError) as exc:
        leftover.problem = str(exc)
