"""Handlers of /v1/system."""

from __future__ import annotations

import os
import platform

from starlette.requests import Request

from banger import __version__
from banger.agent.binary import agent_binary
from banger.errors import Error
from banger.host import cpu
from banger.machines import reconcile, upkeep
from banger.machines.parts import Parts
from banger.model.report import Accelerator, DiskUsage, DriverReport, Reconciliation, SystemInfo
from banger.server.calls import query_bool


async def system_info(parts: Parts, request: Request, body: None) -> SystemInfo:
    paths, kvm = parts.paths, cpu.check_kvm()
    infos = await parts.drivers.infos()
    return SystemInfo(
        version=__version__,
        python=platform.python_version(),
        daemon_pid=os.getpid(),
        mode=parts.mode,
        socket=str(paths.socket),
        architecture=cpu.architecture(),
        agent=_agent_path(),
        store_version=parts.store.database.version(),
        store_damage=parts.store.damage.all(),
        machines=len(parts.registry.all()),
        places={
            "state": str(paths.state),
            "cache": str(paths.cache),
            "run": str(paths.run),
            "config": str(paths.config),
            "daemon_pid": str(paths.daemon_pid),
        },
        accelerators=[
            Accelerator(name="kvm", usable=kvm.usable, reason=kvm.reason),
            Accelerator(name="tcg", usable=True, reason="software emulation: works everywhere, slower"),
        ],
        drivers=[
            DriverReport(
                name=info.name,
                version=info.version,
                path=info.path,
                accels=list(info.accels),
                problem=info.problem,
            )
            for info in infos
        ],
    )


def _agent_path() -> str:
    try:
        return str(agent_binary(cpu.architecture()))
    except Error:
        return ""


async def shut_down(parts: Parts, request: Request, body: None) -> None:
    parts.shutdown.set()


async def disk_usage(parts: Parts, request: Request, body: None) -> DiskUsage:
    return await upkeep.disk_usage(parts)


async def reconcile_system(parts: Parts, request: Request, body: None) -> Reconciliation:
    dry_run, remove = query_bool(request, "dry_run"), query_bool(request, "remove")
    return await reconcile.reconcile(parts, dry_run=dry_run, remove=remove)
