"""Changes of what a machine was made with: limits at once, also while it runs; its size for its next start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from banger.errors import Error
from banger.machines.keep.states import LIVE
from banger.machines.life.limits import check_asked, hold_now
from banger.machines.life.lives import Lives
from banger.machines.watch.expiry import change_expiry
from banger.model.machine import Change, Machine, MachineSpec, MachineState

_LIMITS = ("cpu_limit", "memory_limit_bytes", "pids_limit", "io_limit_bytes", "iops_limit")
_SIZES = ("cpus", "memory_mib")
FIELDS = (*_LIMITS, *_SIZES, "disk_bytes", "restart")


async def update(
    lives: Lives, machine: Machine, asked: Mapping[str, Any], labels: Mapping[str, str], ttl_s: float | None
) -> None:
    """Change the fields of the spec in `asked`, all or none. Raises `bad_spec`, `bad_state`, `limit_unenforceable`,
    `vmm_failed`."""
    async with lives.locks[machine.id]:
        changed = {name: value for name, value in asked.items() if value != getattr(machine.spec, name)}
        spec = msgspec.structs.replace(machine.spec, **changed, labels=dict(labels))
        _check(spec)
        _refuse_now(machine, changed)
        live = lives.get(machine)
        fields = Change(spec=spec)
        if live is not None and (limits := [name for name in _LIMITS if name in changed]):
            fields["limits"] = await hold_now(lives.holdings.resources, live, spec, limits)
        lives.registry.change(machine, **fields)
        if ttl_s is not None:
            change_expiry(lives.registry, machine, ttl_s)


def _check(spec: MachineSpec) -> None:
    check_asked(spec)
    if spec.remove and spec.restart != "no":
        raise Error(
            "bad_spec",
            "a machine that is deleted when it ends cannot be restarted",
            "leave out --restart, or make a machine without --rm",
        )
    if len(spec.labels) > 64:
        raise Error("bad_spec", "a machine has at most 64 labels", "remove some first: --label-rm NAME")


def _refuse_now(machine: Machine, changed: Mapping[str, Any]) -> None:
    """Refuse by name what cannot change in this state."""
    if machine.state in LIVE:
        for name in _SIZES:
            if name in changed:
                raise _not_now(machine, f"--{name.partition('_')[0]} of a running machine cannot change")
        for name in _LIMITS:
            if changed.get(name, 1) == 0:
                option = name.removesuffix("_bytes").replace("_", "-")
                raise _not_now(machine, f"--{option} of a running machine cannot be removed")
    if "disk_bytes" in changed and machine.state is not MachineState.CREATED:
        raise Error(
            "bad_state",
            f"the size of the disk of {machine.name} is fixed since its first start",
            "make a machine with a larger --disk, and copy the files: banger cp, or banger commit and banger run",
            {"state": machine.state.value},
        )


def _not_now(machine: Machine, message: str) -> Error:
    return Error(
        "bad_state",
        f"{message}: {machine.name} is {machine.state.value}",
        f"banger vm stop {machine.name}, then try again",
        {"state": machine.state.value},
    )
