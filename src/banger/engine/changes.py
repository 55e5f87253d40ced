"""Verbs that change a machine that exists."""

from __future__ import annotations

from banger.api import changes as verbs
from banger.engine.engine import Engine
from banger.engine.machines import find
from banger.engine.verbs import carries_out
from banger.machines.ask import updates
from banger.machines.copies.renaming import give_name
from banger.machines.life import resetting
from banger.model.machine import Machine
from banger.model.operation import Operation, Report
from banger.model.principal import Principal


@carries_out(verbs.RENAME)
async def rename(engine: Engine, principal: Principal, request: verbs.RenameMachine) -> Machine:
    machine = find(engine.registry, request)
    await give_name(engine.lives, engine.snapshots, machine, request.name)
    return engine.passages.describe(machine)


@carries_out(verbs.UPDATE)
async def update(engine: Engine, principal: Principal, request: verbs.UpdateMachine) -> Machine:
    machine = find(engine.registry, request)
    asked = {field: value for field in updates.FIELDS if (value := getattr(request, field)) is not None}
    labels = {**machine.spec.labels, **request.labels}
    for label in request.remove_labels:
        labels.pop(label, None)
    await updates.update(engine.lives, machine, asked, labels, request.ttl_s)
    return engine.passages.describe(machine)


@carries_out(verbs.RESET)
async def reset(engine: Engine, principal: Principal, request: verbs.ResetMachine) -> Operation[Machine]:
    machine = find(engine.registry, request)

    async def work(report: Report) -> Machine:
        await resetting.reset(engine.lives, machine, report, force=request.force)
        return machine

    return engine.operations.begin("reset", f"machine/{machine.name}", work).operation
