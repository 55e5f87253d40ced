"""Verbs of the daemon, its operations and its journal."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from banger import __version__
from banger.agent.binary import agent_binary
from banger.api import system as verbs
from banger.api.verb import Nothing
from banger.engine.engine import Engine
from banger.engine.moments import read_moment
from banger.engine.verbs import carries_out
from banger.environment import for_doctor
from banger.errors import Error
from banger.host import cpu
from banger.host.run import run
from banger.machines.keep import reconcile, upkeep
from banger.machines.keep.events import Wish
from banger.machines.keep.operations import RunningOperation
from banger.machines.keep.registry import Registry
from banger.machines.life import choice
from banger.model.doctor import Diagnosis
from banger.model.event import Event
from banger.model.operation import Ended, Operation, Progress
from banger.model.principal import Principal
from banger.model.report import Accelerator, DiskUsage, DriverReport, Reconciliation, SystemInfo

_EXAMINATION_S = 60


@carries_out(verbs.INFO)
async def info(engine: Engine, principal: Principal, request: Nothing) -> SystemInfo:
    paths, kvm = engine.makings.paths, cpu.check_kvm()
    infos = await engine.makings.drivers.infos()
    return SystemInfo(
        version=__version__,
        python=platform.python_version(),
        daemon_pid=os.getpid(),
        mode=engine.mode,
        socket=str(paths.socket),
        architecture=cpu.architecture(),
        agent=_agent_path(),
        store_version=engine.store.database.version(),
        store_damage=engine.store.damage.all(),
        machines=len(engine.registry.all()),
        no_taps=await engine.makings.guards.ready(),
        places={
            "state": str(paths.state),
            "cache": str(paths.cache),
            "run": str(paths.run),
            "config": str(paths.config),
            "daemon_pid": str(paths.daemon_pid),
        },
        accelerators=[
            Accelerator(name="kvm", usable=kvm.usable, reason=kvm.reason),
            Accelerator(name="tcg", usable=True, reason="software emulation: works everywhere, but slower"),
        ],
        drivers=[
            DriverReport(
                name=info.name,
                version=info.version,
                path=info.path,
                accels=list(info.accels),
                problem=info.problem,
                lacks=[*info.lacks_in_words],
                jail=info.jail,
            )
            for info in infos
        ],
        auto_driver=await choice.foresee(engine.makings),
    )


def _agent_path() -> str:
    try:
        return str(agent_binary(cpu.architecture()))
    except Error:
        return ""


@carries_out(verbs.SHUT_DOWN)
async def shut_down(engine: Engine, principal: Principal, request: Nothing) -> None:
    engine.lives.shutdown.set()


@carries_out(verbs.DISK_USAGE)
async def disk_usage(engine: Engine, principal: Principal, request: Nothing) -> DiskUsage:
    return await upkeep.disk_usage(engine.makings, engine.lives, engine.snapshots)


@carries_out(verbs.EXAMINE)
async def examine(engine: Engine, principal: Principal, request: Nothing) -> Diagnosis:
    """The doctor is a process of its own here, too: a check that hangs does not block other requests."""
    done = await run(
        [sys.executable, "-P", "-m", "banger.doctor", "--json"],
        cwd="/",
        env={**for_doctor(os.environ), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout_s=_EXAMINATION_S,
        check=False,
    )
    try:
        return msgspec.json.decode(done.stdout, type=Diagnosis)
    except msgspec.DecodeError as exc:
        last = done.stderr.decode(errors="replace").strip()[-500:]
        raise Error("tool_failed", f"the doctor failed: {last}", "banger doctor") from exc


@carries_out(verbs.RECONCILE)
async def reconcile_records(engine: Engine, principal: Principal, request: verbs.Reconcile) -> Reconciliation:
    return await reconcile.reconcile(engine.lives, dry_run=request.dry_run, remove=request.remove)


@carries_out(verbs.LIST_OPERATIONS)
async def list_operations(engine: Engine, principal: Principal, request: Nothing) -> list[Operation[Any]]:
    return engine.operations.list()


@carries_out(verbs.GET_OPERATION)
async def get_operation(engine: Engine, principal: Principal, request: verbs.OneOperation) -> Operation[Any]:
    return engine.operations.get(request.id).operation


@carries_out(verbs.CANCEL_OPERATION)
async def cancel_operation(
    engine: Engine, principal: Principal, request: verbs.OneOperation
) -> Operation[Any]:
    return await engine.operations.cancel(request.id)


@carries_out(verbs.OPERATION_EVENTS)
async def watch_operation(
    engine: Engine, principal: Principal, request: verbs.OneOperation
) -> AsyncIterator[Sequence[Progress | Ended]]:
    return _watch(engine.operations.get(request.id))


async def _watch(running: RunningOperation[Any]) -> AsyncIterator[Sequence[Progress | Ended]]:
    async for progress in running.events():
        yield [progress]
    yield [Ended(operation=running.operation)]


@carries_out(verbs.EVENTS)
async def read_events(
    engine: Engine, principal: Principal, request: verbs.ReadEvents
) -> AsyncIterator[Sequence[Event]]:
    wish = Wish(
        after=request.after,
        since=_moment(request.since),
        machine=_name_of(engine.registry, request.machine),
        follow=request.follow,
    )
    return engine.journal.read(wish)


def _name_of(registry: Registry, machine: str) -> str:
    """Events contain names; the name of a deleted machine is accepted, too."""
    try:
        return registry.find(machine).name if machine else ""
    except Error:
        return machine


def _moment(text: str) -> str:
    """RFC 3339, as in records; empty for no text. Raises `bad_request`."""
    if not text:
        return ""
    utc = read_moment(text)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
