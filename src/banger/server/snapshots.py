"""Handlers of /v1/snapshots, and of the verbs that take a machine as it is or was: snapshot, restore, fork, commit."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import StreamingResponse

from banger.machines import commits, forks, snapshots
from banger.machines.parts import Parts
from banger.model.names import check_name
from banger.model.operation import Operation, Report
from banger.model.template import CommitRequest, ForkRequest, Snapshot, SnapshotRequest, Tag
from banger.server.calls import query_fitting, stream_answer, stream_body
from banger.server.machines import machine_of
from banger.server.operations import finish


async def snapshot_machine(parts: Parts, request: Request, body: SnapshotRequest) -> Operation:
    machine = machine_of(parts, request)

    async def work(report: Report) -> str:
        return _name(await snapshots.snapshot(parts, machine, body.tag, report))

    return parts.operations.begin("snapshot", f"machine/{machine.name}", work).operation


async def restore_machine(parts: Parts, request: Request, body: SnapshotRequest) -> Operation:
    """By its name alone: the machine may be gone."""
    name = request.path_params["name"]

    async def work(report: Report) -> str:
        return (await snapshots.restore(parts, name, body.tag, report)).name

    return parts.operations.begin("restore", f"machine/{name}", work).operation


async def fork_machine(parts: Parts, request: Request, body: ForkRequest) -> Operation:
    machine = machine_of(parts, request)

    async def work(report: Report) -> str:
        return " ".join(m.name for m in await forks.fork(parts, machine, body.count, body.name, report))

    return parts.operations.begin("fork", f"machine/{machine.name}", work).operation


async def commit_machine(parts: Parts, request: Request, body: CommitRequest) -> Operation:
    machine = machine_of(parts, request)

    async def work(report: Report) -> str:
        return (await commits.commit(parts, machine, body.image, report)).name

    return parts.operations.begin("commit", f"machine/{machine.name}", work).operation


async def list_snapshots(parts: Parts, request: Request, body: None) -> list[Snapshot]:
    return snapshots.list_snapshots(parts, request.query_params.get("machine", ""))


async def show_snapshot(parts: Parts, request: Request, body: None) -> Snapshot:
    return snapshots.find_snapshot(parts, *_named(request))


async def delete_snapshot(parts: Parts, request: Request, body: None) -> None:
    await snapshots.delete_snapshot(parts, *_named(request))


async def export_snapshot(parts: Parts, request: Request, body: None) -> StreamingResponse:
    return await stream_answer(snapshots.export_snapshot(parts, *_named(request)), "application/zstd")


async def import_snapshot(parts: Parts, request: Request, body: None) -> Snapshot:
    """The body is what an export gave. An operation too, so that it can be seen and cancelled."""
    machine, tag = query_fitting(request, "machine", str), query_fitting(request, "tag", Tag)
    if machine:
        check_name(machine)

    async def work(report: Report) -> str:
        return _name(await snapshots.import_snapshot(parts, stream_body(request), machine, tag))

    running = parts.operations.begin("import", f"snapshot/{machine or '*'}:{tag or '*'}", work)
    name, _, found = (await finish(parts, running)).partition(":")
    return snapshots.find_snapshot(parts, name, found)


def _name(snapshot: Snapshot) -> str:
    return f"{snapshot.machine}:{snapshot.tag}"


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["machine"], request.path_params["tag"]
