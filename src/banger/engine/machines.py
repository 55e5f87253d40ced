"""Verbs of machines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from banger.api import machines as verbs
from banger.api.verb import Again
from banger.engine.paths import refuse_sources_of_others
from banger.engine.verbs import begun, carries_out, gives_out, takes_in
from banger.machines.ask import commands, files, inspect, logs, pausing
from banger.machines.ask.pausing import awake
from banger.machines.copies import commits, forks, snapshots
from banger.machines.keep.states import LIVE
from banger.machines.life import creation, lifecycle
from banger.machines.life.launch import plan_places
from banger.machines.life.live import LiveMachine
from banger.machines.parts import Parts
from banger.model.command import Exec, Exit
from banger.model.image import Image
from banger.model.machine import Machine
from banger.model.operation import Operation, Report
from banger.model.principal import Principal
from banger.model.report import FileStat, GuestPort, Health, Ping, Stats
from banger.model.template import Snapshot

_UNSETTLED_S = 0.1


def find(parts: Parts, request: verbs.OneMachine) -> Machine:
    return parts.registry.find(request.machine)


def find_live(parts: Parts, request: verbs.OneMachine) -> LiveMachine:
    return parts.live_of(find(parts, request))


@carries_out(verbs.LIST)
async def list_all(parts: Parts, principal: Principal, request: verbs.AllMachines) -> list[Machine]:
    return parts.registry.all()


@carries_out(verbs.CREATE)
async def create(
    parts: Parts, principal: Principal, request: verbs.CreateMachine
) -> Machine | Again[Machine]:
    refuse_sources_of_others(principal, request.spec.image)
    if request.idempotency_key is None:
        return lifecycle.create(parts, request.spec, owner=principal.uid)
    machine, is_new = creation.create_once(parts, request.spec, request.idempotency_key, owner=principal.uid)
    return machine if is_new else Again(machine)


@carries_out(verbs.GET)
async def get(parts: Parts, principal: Principal, request: verbs.OneMachine) -> Machine:
    return find(parts, request)


@carries_out(verbs.DELETE)
async def delete(parts: Parts, principal: Principal, request: verbs.DeleteMachine) -> None:
    await lifecycle.delete(parts, find(parts, request), force=request.force)


@carries_out(verbs.START)
async def start(parts: Parts, principal: Principal, request: verbs.OneMachine) -> Operation[Machine]:
    machine = find(parts, request)

    async def work(report: Report) -> Machine:
        await lifecycle.start(parts, machine, report, restarts=0)
        return machine

    return parts.operations.begin("start", f"machine/{machine.name}", work).operation


@carries_out(verbs.STOP)
async def stop(parts: Parts, principal: Principal, request: verbs.StopMachine) -> Operation[Machine]:
    machine = find(parts, request)

    async def work(report: Report) -> Machine:
        await _stop(parts, machine, request.grace_s, report)
        return machine

    return parts.operations.begin("stop", f"machine/{machine.name}", work).operation


@carries_out(verbs.RESTART)
async def restart(parts: Parts, principal: Principal, request: verbs.StopMachine) -> Operation[Machine]:
    machine = find(parts, request)

    async def work(report: Report) -> Machine:
        if machine.state in LIVE:
            await _stop(parts, machine, request.grace_s, report)
        await lifecycle.start(parts, machine, report)
        return machine

    return parts.operations.begin("restart", f"machine/{machine.name}", work).operation


async def _stop(parts: Parts, machine: Machine, grace_s: float, report: Report) -> None:
    report("stop", f"stopping {machine.name}")
    await pausing.wake_to_stop(parts, machine)
    await lifecycle.stop(parts, machine, grace_s)


@carries_out(verbs.KILL)
async def kill(parts: Parts, principal: Principal, request: verbs.KillMachine) -> None:
    machine = find(parts, request)
    if request.signal is None:
        await lifecycle.kill(parts, machine)
    else:
        await commands.signal_command(parts, machine, request.signal)


@carries_out(verbs.PAUSE)
async def pause(parts: Parts, principal: Principal, request: verbs.OneMachine) -> Machine:
    machine = find(parts, request)
    await pausing.pause(parts, machine)
    return machine


@carries_out(verbs.RESUME)
async def resume(parts: Parts, principal: Principal, request: verbs.OneMachine) -> Machine:
    machine = find(parts, request)
    await pausing.resume(parts, machine)
    return machine


@carries_out(verbs.SNAPSHOT)
async def snapshot(parts: Parts, principal: Principal, request: verbs.TaggedMachine) -> Operation[Snapshot]:
    machine = find(parts, request)

    async def work(report: Report) -> Snapshot:
        return await snapshots.snapshot(parts, machine, request.tag, report)

    return parts.operations.begin("snapshot", f"machine/{machine.name}", work).operation


@carries_out(verbs.RESTORE)
async def restore(parts: Parts, principal: Principal, request: verbs.TaggedMachine) -> Operation[Machine]:
    """By name only: the machine may be deleted."""

    async def work(report: Report) -> Machine:
        return await snapshots.restore(parts, request.machine, request.tag, report, owner=principal.uid)

    return parts.operations.begin("restore", f"machine/{request.machine}", work).operation


@carries_out(verbs.FORK)
async def fork(parts: Parts, principal: Principal, request: verbs.ForkMachine) -> Operation[list[Machine]]:
    machine = find(parts, request)

    async def work(report: Report) -> list[Machine]:
        return await forks.fork(parts, machine, request.count, request.name, report)

    return parts.operations.begin("fork", f"machine/{machine.name}", work).operation


@carries_out(verbs.COMMIT)
async def commit(parts: Parts, principal: Principal, request: verbs.CommitMachine) -> Operation[Image]:
    machine = find(parts, request)

    async def work(report: Report) -> Image:
        return await commits.commit(parts, machine, request.image, report)

    return parts.operations.begin("commit", f"machine/{machine.name}", work).operation


@carries_out(verbs.WAIT)
async def wait(parts: Parts, principal: Principal, request: verbs.OneMachine) -> Machine:
    machine = find(parts, request)
    while machine.state in LIVE:
        live = parts.live.get(machine.id)
        starting = parts.starting.get(machine.id)
        if live is not None:
            await live.ended.wait()
        elif starting is not None:
            await asyncio.wait([starting])
        await asyncio.sleep(0 if live or starting else _UNSETTLED_S)
    return machine


@carries_out(verbs.HEALTH)
async def health(parts: Parts, principal: Principal, request: verbs.OneMachine) -> Health:
    return await inspect.health(find_live(parts, request))


@carries_out(verbs.PING)
async def ping(parts: Parts, principal: Principal, request: verbs.PingMachine) -> Ping:
    async with awake(parts, find(parts, request)) as live:
        return await inspect.ping(live, request.count)


@carries_out(verbs.STATS)
async def stats(parts: Parts, principal: Principal, request: verbs.OneMachine) -> Stats:
    async with awake(parts, find(parts, request)) as live:
        return await inspect.stats(live)


@carries_out(verbs.PORTS)
async def ports(parts: Parts, principal: Principal, request: verbs.OneMachine) -> list[GuestPort]:
    async with awake(parts, find(parts, request)) as live:
        return await inspect.ports(live)


@gives_out(verbs.LOGS)
async def read_logs(parts: Parts, principal: Principal, request: verbs.ReadLogs) -> AsyncIterator[bytes]:
    machine = find(parts, request)
    path = logs.log_path(plan_places(parts, machine).directory, request.source, request.exec)
    return logs.read_log(path, request.tail, request.follow, lambda: _may_grow(parts, machine, request.exec))


def _may_grow(parts: Parts, machine: Machine, exec_id: int | None) -> bool:
    live = parts.live.get(machine.id)
    if exec_id is None or live is None:
        return machine.state in LIVE
    return exec_id in live.execs and live.execs[exec_id].info.running


@carries_out(verbs.EXECS)
async def list_execs(parts: Parts, principal: Principal, request: verbs.OneMachine) -> list[Exec]:
    return await commands.list_commands(parts, find(parts, request))


@carries_out(verbs.GET_EXEC)
async def get_exec(parts: Parts, principal: Principal, request: verbs.OneExec) -> Exec:
    return await commands.show_command(parts, find(parts, request), request.id)


@carries_out(verbs.SIGNAL_EXEC)
async def signal_exec(parts: Parts, principal: Principal, request: verbs.SignalExec) -> None:
    await commands.signal_command(parts, find(parts, request), request.signal, request.id)


@carries_out(verbs.WAIT_EXEC)
async def wait_exec(parts: Parts, principal: Principal, request: verbs.OneExec) -> Exit:
    return await commands.wait_command(parts, find(parts, request), request.id)


@carries_out(verbs.EXEC_DETACHED)
async def start_exec(parts: Parts, principal: Principal, request: verbs.StartExec) -> Exec:
    request.command.stdin = False
    async with awake(parts, find(parts, request)) as live:
        return (await live.start_exec(request.command, None)).info


@gives_out(verbs.GET_FILES)
async def read_files(parts: Parts, principal: Principal, request: verbs.ReadFiles) -> AsyncIterator[bytes]:
    return await begun(_read_tar(parts, find(parts, request), request.path, request.follow))


async def _read_tar(parts: Parts, machine: Machine, path: str, follow: bool) -> AsyncIterator[bytes]:
    async with awake(parts, machine) as live:
        async for piece in files.read_tar(live, path, follow):
            yield piece


@takes_in(verbs.PUT_FILES)
async def write_files(
    parts: Parts, principal: Principal, request: verbs.WriteFiles, tar: AsyncIterator[bytes]
) -> None:
    async with awake(parts, find(parts, request)) as live:
        await files.write_tar(live, request.path, tar)


@carries_out(verbs.STAT_FILE)
async def stat_file(parts: Parts, principal: Principal, request: verbs.StatFile) -> FileStat:
    async with awake(parts, find(parts, request)) as live:
        return await files.stat_file(live, request.path)
