"""Forks of a running machine: each child begins with the state of the parent at one moment, and with an identity of its
own.

The parent's vCPUs are stopped while it is frozen; parent and children share memory and disk until one of them writes.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from banger.errors import Error, NameTaken
from banger.host import cpu
from banger.host.thread import in_thread
from banger.machines.copies.capture import capture, working_directory
from banger.machines.keep.events import tell_forked
from banger.machines.keep.registry import Registry
from banger.machines.life.lifecycle import create, delete
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.machines.life.publications import specs_of_copies
from banger.machines.life.revival import Original, revive
from banger.model.machine import Machine
from banger.model.names import check_name
from banger.model.operation import Report, report_to_nobody
from banger.model.origin import ForkedFrom
from banger.templates.frozen import Checks
from banger.vmm.base import Driver
from banger.vmm.drivers import Drivers
from banger.vmm.frozen import Frozen

log = logging.getLogger("banger.machines")


async def fork(
    lives: Lives,
    makings: Makings,
    machine: Machine,
    count: int,
    name: str,
    report: Report,
    *,
    with_secrets: bool = False,
) -> list[Machine]:
    """Start `count` children, all or none, called NAME-1 and so on. Raises the errors of `capture` and `revive`."""
    live = lives.of(machine)
    await makings.make_room(machine.spec.memory_mib)
    async with working_directory(lives.holdings, "fork") as directory:
        report("freeze", f"freezing {machine.name}")
        shape = await capture(lives, makings, live, directory, with_secrets=with_secrets)
        original = Original(ForkedFrom(machine=machine.name), Frozen(directory), shape)
        children: list[Machine] = []
        try:
            for _ in range(count):
                children.append(_create_child(lives.registry, makings.drivers, machine, name or machine.name))
            checks = await _sum(directory, live.driver)
            await _revive_all(lives, makings, children, original, checks, report)
            lives.registry.finish(children, lambda tell: tell_forked(tell, machine, children))
        except BaseException:
            await asyncio.shield(_remove_all(lives, children))
            raise
    return children


def _create_child(registry: Registry, drivers: Drivers, parent: Machine, stem: str) -> Machine:
    number = 1
    while True:
        name = check_name(f"{stem}-{number}")
        try:
            return create(
                registry,
                drivers,
                msgspec.structs.replace(parent.spec, name=name, ports=specs_of_copies(parent.spec)),
                unfinished=True,
                owner=parent.owner,
                image_digest=parent.image_digest,
                stop_signal=parent.stop_signal,
                surroundings=parent.surroundings,
                kernel=parent.kernel,
                kernel_digest=parent.kernel_digest,
            )
        except NameTaken:
            pass
        number += 1


async def _sum(directory: Path, driver: Driver) -> Checks:
    try:
        return await in_thread(Checks.of_new, directory, driver.frozen.state_parts())
    except OSError as exc:
        raise Error("frozen_damaged", f"{exc.filename} cannot be read: {exc.strerror}") from exc


async def _revive_all(
    lives: Lives,
    makings: Makings,
    children: list[Machine],
    original: Original,
    checks: Checks,
    report: Report,
) -> None:
    """Start as many at a time as there are processors: more would only wait for each other. The first failure ends
    all."""
    turns = asyncio.Semaphore(max(2, cpu.count()))
    done = 0

    async def one(child: Machine) -> None:
        nonlocal done
        async with turns:
            if not checks.is_right():
                await in_thread(checks.check)
            await revive(lives, makings, child, original, report_to_nobody, as_itself=False)
        done += 1
        report("clone", f"{child.name} is running", done, len(children))

    try:
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(one(child))
    except BaseExceptionGroup as errors:
        # Not `except*`: before Python 3.11.4 it puts what its body raises into another group.
        found = errors.subgroup(Error)
        if found is None:
            raise
        raise _first(found) from errors


def _first(errors: BaseExceptionGroup[Error]) -> Error:
    first = errors.exceptions[0]
    return first if isinstance(first, Error) else _first(first)


async def _remove_all(lives: Lives, machines: list[Machine]) -> None:
    for machine in machines:
        try:
            await delete(lives, machine, force=True)
        except Error as exc:
            log.warning("machine=%s could not be removed: %s", machine.name, exc.message)
