"""Verbs of machines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from banger.api import machines as verbs
from banger.api.verb import Again
from banger.engine.engine import Engine
from banger.engine.moments import read_milliseconds
from banger.engine.paths import refuse_mounts_of_others, refuse_sources_of_others
from banger.engine.secrets import require_known
from banger.engine.verbs import begun, carries_out, gives_out, takes_in
from banger.errors import Error
from banger.machines.ask import commands, files, inspect, logs, networks, pausing
from banger.machines.ask.log_times import Window
from banger.machines.ask.networks import Asked
from banger.machines.ask.pausing import awake
from banger.machines.copies import commits, forks, snapshots
from banger.machines.keep.registry import Registry
from banger.machines.keep.states import LIVE
from banger.machines.life import creation, lifecycle
from banger.machines.life.lives import Lives
from banger.machines.watch import expiry
from banger.model.command import Exec, Exit
from banger.model.image import Image
from banger.model.machine import Machine
from banger.model.operation import Operation, Report
from banger.model.principal import Principal
from banger.model.report import FileStat, GuestPort, Health, Ping, Stats
from banger.model.template import Snapshot

_UNSETTLED_S = 0.1
_GRACE_S = 10.0


def find(registry: Registry, request: verbs.OneMachine) -> Machine:
    return registry.find(request.machine)


@carries_out(verbs.LIST)
async def list_all(engine: Engine, principal: Principal, request: verbs.AllMachines) -> list[Machine]:
    return engine.registry.all()


@carries_out(verbs.CREATE)
async def create(
    engine: Engine, principal: Principal, request: verbs.CreateMachine
) -> Machine | Again[Machine]:
    refuse_sources_of_others(principal, request.spec.image)
    refuse_mounts_of_others(principal, request.spec)
    require_known(engine, request.spec)
    registry, drivers, key = engine.registry, engine.makings.drivers, request.idempotency_key
    if key is None:
        return lifecycle.create(registry, drivers, request.spec, owner=principal.uid)
    keys = engine.store.keys
    machine, is_new = creation.create_once(registry, drivers, keys, request.spec, key, owner=principal.uid)
    return machine if is_new else Again(machine)


@carries_out(verbs.GET)
async def get(engine: Engine, principal: Principal, request: verbs.OneMachine) -> Machine:
    return engine.passages.describe(find(engine.registry, request))


@carries_out(verbs.DELETE)
async def delete(engine: Engine, principal: Principal, request: verbs.DeleteMachine) -> None:
    await lifecycle.delete(engine.lives, find(engine.registry, request), force=request.force)


@carries_out(verbs.START)
async def start(engine: Engine, principal: Principal, request: verbs.OneMachine) -> Operation[Machine]:
    machine = find(engine.registry, request)

    async def work(report: Report) -> Machine:
        await lifecycle.start(engine.lives, engine.makings, machine, report, restarts=0)
        return machine

    return engine.operations.begin("start", f"machine/{machine.name}", work).operation


@carries_out(verbs.STOP)
async def stop(engine: Engine, principal: Principal, request: verbs.StopMachine) -> Operation[Machine]:
    machine = find(engine.registry, request)

    async def work(report: Report) -> Machine:
        await _stop(engine.lives, machine, request.grace_s, report)
        return machine

    return engine.operations.begin("stop", f"machine/{machine.name}", work).operation


@carries_out(verbs.RESTART)
async def restart(engine: Engine, principal: Principal, request: verbs.StopMachine) -> Operation[Machine]:
    machine = find(engine.registry, request)

    async def work(report: Report) -> Machine:
        if machine.state in LIVE:
            await _stop(engine.lives, machine, request.grace_s, report)
        await lifecycle.start(engine.lives, engine.makings, machine, report)
        return machine

    return engine.operations.begin("restart", f"machine/{machine.name}", work).operation


async def _stop(lives: Lives, machine: Machine, grace_s: float | None, report: Report) -> None:
    if grace_s is None:
        grace_s = _GRACE_S if machine.spec.stop_grace_s is None else machine.spec.stop_grace_s
    report("stop", f"stopping {machine.name}")
    await pausing.wake_to_stop(lives, machine)
    await lifecycle.stop(lives, machine, grace_s)


@carries_out(verbs.KILL)
async def kill(engine: Engine, principal: Principal, request: verbs.KillMachine) -> None:
    machine = find(engine.registry, request)
    if request.signal is None:
        await lifecycle.kill(engine.lives, machine)
    else:
        await commands.signal_command(engine.lives, machine, request.signal)


@carries_out(verbs.PAUSE)
async def pause(engine: Engine, principal: Principal, request: verbs.OneMachine) -> Machine:
    machine = find(engine.registry, request)
    await pausing.pause(engine.lives, machine)
    return machine


@carries_out(verbs.RESUME)
async def resume(engine: Engine, principal: Principal, request: verbs.OneMachine) -> Machine:
    machine = find(engine.registry, request)
    await pausing.resume(engine.lives, machine)
    return machine


@carries_out(verbs.SNAPSHOT)
async def snapshot(engine: Engine, principal: Principal, request: verbs.TaggedMachine) -> Operation[Snapshot]:
    machine = find(engine.registry, request)

    async def work(report: Report) -> Snapshot:
        return await snapshots.snapshot(
            engine.snapshots, engine.lives, engine.makings, machine, request.tag, report
        )

    return engine.operations.begin("snapshot", f"machine/{machine.name}", work).operation


@carries_out(verbs.RESTORE)
async def restore(engine: Engine, principal: Principal, request: verbs.TaggedMachine) -> Operation[Machine]:
    """By name only: the machine may be deleted."""

    async def work(report: Report) -> Machine:
        library, lives, makings = engine.snapshots, engine.lives, engine.makings
        name, tag = request.machine, request.tag
        refuse_mounts_of_others(principal, (await library.find(name, tag)).spec)
        return await snapshots.restore(library, lives, makings, name, tag, report, owner=principal.uid)

    return engine.operations.begin("restore", f"machine/{request.machine}", work).operation


@carries_out(verbs.FORK)
async def fork(engine: Engine, principal: Principal, request: verbs.ForkMachine) -> Operation[list[Machine]]:
    machine = find(engine.registry, request)

    async def work(report: Report) -> list[Machine]:
        return await forks.fork(
            engine.lives,
            engine.makings,
            machine,
            request.count,
            request.name,
            report,
            with_secrets=request.with_secrets,
        )

    return engine.operations.begin("fork", f"machine/{machine.name}", work).operation


@carries_out(verbs.COMMIT)
async def commit(engine: Engine, principal: Principal, request: verbs.CommitMachine) -> Operation[Image]:
    machine = find(engine.registry, request)

    async def work(report: Report) -> Image:
        return await commits.commit(engine.lives, engine.makings.images, machine, request.image, report)

    return engine.operations.begin("commit", f"machine/{machine.name}", work).operation


@carries_out(verbs.WAIT)
async def wait(engine: Engine, principal: Principal, request: verbs.OneMachine) -> Machine:
    machine = find(engine.registry, request)
    while machine.state in LIVE:
        live = engine.lives.get(machine)
        starting = engine.lives.starting.get(machine.id)
        if live is not None:
            await live.ended.wait()
        elif starting is not None:
            await asyncio.wait([starting])
        await asyncio.sleep(0 if live or starting else _UNSETTLED_S)
    return machine


@carries_out(verbs.CHANGE_NETWORK)
async def change_network(engine: Engine, principal: Principal, request: verbs.ChangeNetwork) -> Machine:
    machine, lives = find(engine.registry, request), engine.lives
    asked = Asked(request.network, tuple(request.allow), tuple(request.deny), request.clear)
    await networks.change(lives, engine.makings, machine, asked)
    return engine.passages.describe(machine)


@carries_out(verbs.CHANGE_EXPIRY)
async def change_expiry(engine: Engine, principal: Principal, request: verbs.ChangeExpiry) -> Machine:
    machine = find(engine.registry, request)
    expiry.change_expiry(engine.registry, machine, request.ttl_s)
    return engine.passages.describe(machine)


@carries_out(verbs.PUBLISH)
async def publish(engine: Engine, principal: Principal, request: verbs.PublishPort) -> Machine:
    machine = find(engine.registry, request)
    await networks.add_port(engine.lives, engine.makings, machine, request.port)
    return machine


@carries_out(verbs.UNPUBLISH)
async def unpublish(engine: Engine, principal: Principal, request: verbs.PublishPort) -> Machine:
    machine = find(engine.registry, request)
    await networks.remove_port(engine.lives, engine.makings, machine, request.port)
    return machine


@carries_out(verbs.HEALTH)
async def health(engine: Engine, principal: Principal, request: verbs.OneMachine) -> Health:
    return await inspect.health(engine.lives.of(find(engine.registry, request)))


@carries_out(verbs.PING)
async def ping(engine: Engine, principal: Principal, request: verbs.PingMachine) -> Ping:
    async with awake(engine.lives, find(engine.registry, request)) as live:
        return await inspect.ping(live, request.count)


@carries_out(verbs.STATS)
async def stats(engine: Engine, principal: Principal, request: verbs.OneMachine) -> Stats:
    async with awake(engine.lives, find(engine.registry, request)) as live:
        return await inspect.stats(live)


@carries_out(verbs.PORTS)
async def ports(engine: Engine, principal: Principal, request: verbs.OneMachine) -> list[GuestPort]:
    async with awake(engine.lives, find(engine.registry, request)) as live:
        return await inspect.ports(live)


@gives_out(verbs.LOGS)
async def read_logs(engine: Engine, principal: Principal, request: verbs.ReadLogs) -> AsyncIterator[bytes]:
    machine = find(engine.registry, request)
    path = logs.log_path(engine.lives.holdings.places(machine).directory, request.source, request.exec)
    window = Window(
        read_milliseconds(request.since, "since"),
        read_milliseconds(request.until, "until"),
        request.timestamps,
    )
    if request.source == "console" and not window.is_all:
        raise Error(
            "bad_request",
            "the console is kept without times",
            "leave out since, until and timestamps, or read the output of the command",
        )
    return logs.read_log(
        path, request.tail, request.follow, lambda: _may_grow(engine.lives, machine, request.exec), window
    )


def _may_grow(lives: Lives, machine: Machine, exec_id: int | None) -> bool:
    live = lives.get(machine)
    if exec_id is None or live is None:
        return machine.state in LIVE
    return exec_id in live.execs and live.execs[exec_id].info.running


@carries_out(verbs.EXECS)
async def list_execs(engine: Engine, principal: Principal, request: verbs.OneMachine) -> list[Exec]:
    return await commands.list_commands(engine.lives, find(engine.registry, request))


@carries_out(verbs.GET_EXEC)
async def get_exec(engine: Engine, principal: Principal, request: verbs.OneExec) -> Exec:
    return await commands.show_command(engine.lives, find(engine.registry, request), request.id)


@carries_out(verbs.SIGNAL_EXEC)
async def signal_exec(engine: Engine, principal: Principal, request: verbs.SignalExec) -> None:
    await commands.signal_command(engine.lives, find(engine.registry, request), request.signal, request.id)


@carries_out(verbs.WAIT_EXEC)
async def wait_exec(engine: Engine, principal: Principal, request: verbs.OneExec) -> Exit:
    return await commands.wait_command(engine.lives, find(engine.registry, request), request.id)


@carries_out(verbs.EXEC_DETACHED)
async def start_exec(engine: Engine, principal: Principal, request: verbs.StartExec) -> Exec:
    request.command.stdin = False
    async with awake(engine.lives, find(engine.registry, request)) as live:
        return (await live.start_exec(request.command, None)).info


@gives_out(verbs.GET_FILES)
async def read_files(engine: Engine, principal: Principal, request: verbs.ReadFiles) -> AsyncIterator[bytes]:
    machine = find(engine.registry, request)
    if machine.spec.secrets and not principal.may_write:
        raise Error(
            "not_permitted",
            f"{principal.short} may only read, and {machine.name} has secrets among its files",
            "use a token that was made without --read-only",
        )
    return await begun(_read_tar(engine.lives, machine, request.path, request.follow))


async def _read_tar(lives: Lives, machine: Machine, path: str, follow: bool) -> AsyncIterator[bytes]:
    async with awake(lives, machine) as live:
        async for piece in files.read_tar(live, path, follow):
            yield piece


@takes_in(verbs.PUT_FILES)
async def write_files(
    engine: Engine, principal: Principal, request: verbs.WriteFiles, tar: AsyncIterator[bytes]
) -> None:
    async with awake(engine.lives, find(engine.registry, request)) as live:
        await files.write_tar(live, request.path, tar)


@carries_out(verbs.STAT_FILE)
async def stat_file(engine: Engine, principal: Principal, request: verbs.StatFile) -> FileStat:
    async with awake(engine.lives, find(engine.registry, request)) as live:
        return await files.stat_file(live, request.path)
