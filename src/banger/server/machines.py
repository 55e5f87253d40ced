"""Handlers of /v1/machines."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from banger.errors import Error
from banger.machines import commands, creation, files, inspect, lifecycle, logs, pausing
from banger.machines.launch import plan_places
from banger.machines.live import LiveMachine
from banger.machines.parts import Parts
from banger.machines.pausing import awake
from banger.machines.states import LIVE
from banger.model.command import Exec, ExecRequest, Exit
from banger.model.machine import Machine, MachineSpec, StopRequest
from banger.model.operation import Operation, Report
from banger.model.report import FileStat, GuestPort, Health, Ping, Stats
from banger.server.calls import json_response, query_bool, query_int, query_path, stream_answer

_UNSETTLED_S = 0.1


def machine_of(parts: Parts, request: Request) -> Machine:
    return parts.registry.find(request.path_params["name"])


def live_of(parts: Parts, request: Request) -> LiveMachine:
    return parts.live_of(machine_of(parts, request))


async def list_machines(parts: Parts, request: Request, body: None) -> list[Machine]:
    return parts.registry.all()


async def create_machine(parts: Parts, request: Request, body: MachineSpec) -> Machine | Response:
    key = request.headers.get("idempotency-key")
    if key is None:
        return lifecycle.create(parts, body)
    machine, is_new = creation.create_once(parts, body, key)
    return machine if is_new else json_response(machine)


async def show_machine(parts: Parts, request: Request, body: None) -> Machine:
    return machine_of(parts, request)


async def delete_machine(parts: Parts, request: Request, body: None) -> None:
    await lifecycle.delete(parts, machine_of(parts, request), force=query_bool(request, "force"))


async def start_machine(parts: Parts, request: Request, body: None) -> Operation:
    machine = machine_of(parts, request)
    machine.restarts = 0

    async def work(report: Report) -> str:
        await lifecycle.start(parts, machine, report)
        return machine.name

    return parts.operations.begin("start", f"machine/{machine.name}", work).operation


async def stop_machine(parts: Parts, request: Request, body: StopRequest) -> Operation:
    machine = machine_of(parts, request)

    async def work(report: Report) -> str:
        report("stop", f"stopping {machine.name}")
        await pausing.wake_to_stop(parts, machine)
        await lifecycle.stop(parts, machine, body.grace_s)
        return machine.name

    return parts.operations.begin("stop", f"machine/{machine.name}", work).operation


async def restart_machine(parts: Parts, request: Request, body: StopRequest) -> Operation:
    machine = machine_of(parts, request)

    async def work(report: Report) -> str:
        if machine.state in LIVE:
            report("stop", f"stopping {machine.name}")
            await pausing.wake_to_stop(parts, machine)
            await lifecycle.stop(parts, machine, body.grace_s)
        await lifecycle.start(parts, machine, report)
        return machine.name

    return parts.operations.begin("restart", f"machine/{machine.name}", work).operation


async def kill_machine(parts: Parts, request: Request, body: None) -> None:
    machine = machine_of(parts, request)
    number = query_int(request, "signal", None, 1, 64)
    if number is None:
        await lifecycle.kill(parts, machine)
        return
    await commands.signal_command(parts, machine, number)


async def pause_machine(parts: Parts, request: Request, body: None) -> Machine:
    machine = machine_of(parts, request)
    await pausing.pause(parts, machine)
    return machine


async def resume_machine(parts: Parts, request: Request, body: None) -> Machine:
    machine = machine_of(parts, request)
    await pausing.resume(parts, machine)
    return machine


async def wait_machine(parts: Parts, request: Request, body: None) -> Machine:
    machine = machine_of(parts, request)
    while machine.state in LIVE:
        live = parts.live.get(machine.id)
        starting = parts.starting.get(machine.id)
        if live is not None:
            await live.ended.wait()
        elif starting is not None:
            await asyncio.wait([starting])
        await asyncio.sleep(0 if live or starting else _UNSETTLED_S)
    return machine


async def machine_health(parts: Parts, request: Request, body: None) -> Health:
    return await inspect.health(live_of(parts, request))


async def machine_ping(parts: Parts, request: Request, body: None) -> Ping:
    count = query_int(request, "count", 1, 1, 10_000)
    async with awake(parts, machine_of(parts, request)) as live:
        return await inspect.ping(live, count or 1)


async def machine_stats(parts: Parts, request: Request, body: None) -> Stats:
    async with awake(parts, machine_of(parts, request)) as live:
        return await inspect.stats(live)


async def machine_ports(parts: Parts, request: Request, body: None) -> list[GuestPort]:
    async with awake(parts, machine_of(parts, request)) as live:
        return await inspect.ports(live)


async def machine_logs(parts: Parts, request: Request, body: None) -> StreamingResponse:
    machine = machine_of(parts, request)
    source = request.query_params.get("source", "console")
    exec_id = query_int(request, "exec", None, 1, 0xFFFFFFFF)
    path = logs.log_path(plan_places(parts, machine).directory, source, exec_id)
    tail = query_int(request, "tail", None, 0, 1_000_000)
    stream = logs.read_log(
        path, tail, query_bool(request, "follow"), lambda: _writes(parts, machine, exec_id)
    )
    return StreamingResponse(stream, media_type="application/octet-stream")


def _writes(parts: Parts, machine: Machine, exec_id: int | None) -> bool:
    """Whether a log may grow still."""
    live = parts.live.get(machine.id)
    if exec_id is None or live is None:
        return machine.state in LIVE
    return exec_id in live.execs and live.execs[exec_id].info.running


def _exec_id(request: Request) -> int:
    text: str = request.path_params["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise Error(
            "exec_not_found", f"there is no command {text!r}", "a command has a number: banger vm execs"
        )
    return int(text)


async def list_execs(parts: Parts, request: Request, body: None) -> list[Exec]:
    return await commands.list_commands(parts, machine_of(parts, request))


async def show_exec(parts: Parts, request: Request, body: None) -> Exec:
    return await commands.show_command(parts, machine_of(parts, request), _exec_id(request))


async def signal_exec(parts: Parts, request: Request, body: None) -> None:
    number = query_int(request, "signal", signal.SIGKILL, 1, 64)
    assert number is not None
    await commands.signal_command(parts, machine_of(parts, request), number, _exec_id(request))


async def wait_exec(parts: Parts, request: Request, body: None) -> Exit:
    return await commands.wait_command(parts, machine_of(parts, request), _exec_id(request))


async def start_exec(parts: Parts, request: Request, body: ExecRequest) -> Exec:
    body.command.stdin = False
    async with awake(parts, machine_of(parts, request)) as live:
        return (await live.start_exec(body.command, None)).info


async def read_files(parts: Parts, request: Request, body: None) -> StreamingResponse:
    follow = query_bool(request, "follow")
    tar = _read_tar(parts, machine_of(parts, request), query_path(request), follow)
    return await stream_answer(tar, "application/x-tar")


async def _read_tar(parts: Parts, machine: Machine, path: str, follow: bool) -> AsyncIterator[bytes]:
    async with awake(parts, machine) as live:
        async for piece in files.read_tar(live, path, follow):
            yield piece


async def write_files(parts: Parts, request: Request, body: None) -> None:
    async with awake(parts, machine_of(parts, request)) as live:
        await files.write_tar(live, query_path(request), request.stream())


async def stat_file(parts: Parts, request: Request, body: None) -> FileStat:
    async with awake(parts, machine_of(parts, request)) as live:
        return await files.stat_file(live, query_path(request))
