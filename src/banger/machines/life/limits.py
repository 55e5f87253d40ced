"""The limits of a machine: a limit that the user asked for is enforced or refused, and the record says which limits
hold.

Other limits are enforced where this host can; elsewhere the record says that they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from banger.errors import Error
from banger.guests.confinement import Confinement as Confined
from banger.guests.confinement import describe_jail, missing_layers, plan_limits
from banger.guests.guest import Guest, limit_io
from banger.host.cgroup import Group
from banger.host.delegation import delegation
from banger.machines.life.live import LiveMachine
from banger.model.ending import MemoryLimitReached
from banger.model.machine import Confinement, Machine, MachineSpec
from banger.model.operation import Report
from banger.model.sizes import MIB, format_size
from banger.resources import kinds
from banger.store.resources import ResourceTable
from banger.vmm.base import AS_NEEDED, Driver, VmConfig, VmLimits
from banger.vmm.link import Link

# With less memory a VMM does not start, or ends at the first burst of reads, because it needs each of its threads.
_LEAST_MEMORY_BYTES = 128 * MIB
_LEAST_CPUS = 0.01
_LEAST_THREADS = 80
_CONTROLLERS = {"memory_limit_bytes": "memory", "cpu_limit": "cpu", "pids_limit": "pids"}


def check_asked(spec: MachineSpec) -> None:
    """Raises `bad_spec` for limits that are too low for any VMM."""
    least_threads = spec.cpus + _LEAST_THREADS
    if 0 < spec.memory_limit_bytes < _LEAST_MEMORY_BYTES:
        raise _too_low("memory limit", format_size(_LEAST_MEMORY_BYTES))
    if 0 < spec.cpu_limit < _LEAST_CPUS:
        raise _too_low("processor limit", f"{_LEAST_CPUS:g}")
    if 0 < spec.pids_limit < least_threads:
        raise _too_low("limit of threads", str(least_threads))


def asked_limits(spec: MachineSpec) -> VmLimits:
    return VmLimits(
        memory_bytes=spec.memory_limit_bytes,
        cpus=spec.cpu_limit,
        pids=spec.pids_limit,
        io_bytes=spec.io_limit_bytes,
        io_operations=spec.iops_limit,
    )


def refuse_unenforceable(spec: MachineSpec) -> None:
    """Raises `limit_unenforceable`. Called before anything is started for the machine."""
    if spec.limits == "strict":
        for controller, asked in _asked(spec).items():
            reason = delegation().missing.get(controller)
            if asked and reason:
                raise _unenforceable(controller, reason)


def refuse_unconfined(spec: MachineSpec, driver: Driver, link: Link) -> None:
    """Raises `confinement_missing`. Called before anything is started for the machine."""
    if spec.confine != "strict":
        return
    for layer, reason in missing_layers(driver, link).items():
        raise Error(
            "confinement_missing",
            f"this host does not have the layer {layer} of the jail: {reason}",
            "docs/security.md has the requirements; --confine best-effort runs the machine without this layer",
            {"layer": layer, "reason": reason},
        )


class Held(NamedTuple):
    """What a machine's record says of its limits, and of the jail of its VMM."""

    limits: Mapping[str, str]
    warnings: tuple[str, ...]
    confinement: Confinement


async def hold(machine: Machine, guest: Guest, config: VmConfig, report: Report) -> Held:
    """Set the limits that the VMM does not have yet, before a process of the user runs; return what holds from now on.
    Raises `limit_unenforceable`, `vmm_failed`."""
    spec, confinement = machine.spec, guest.confinement
    if config.limits != AS_NEEDED:
        confinement.limit(plan_limits(config, guest.driver))  # a waiting clone has the usual limits
    warnings: list[str] = []
    for controller, asked in _asked(spec).items():
        reason = confinement.missing.get(controller)
        if not (asked and reason):
            continue
        if spec.limits == "strict":
            raise _unenforceable(controller, reason)
        warnings.append(f"the {controller} limit is not enforced: {reason}")
        report("warning", f"{machine.name}: {warnings[-1]}")
    missing = {controller: f"not enforced: {reason}" for controller, reason in confinement.missing.items()}
    await limit_io(guest.vm, config.limits)
    held = confinement.held | missing | _describe_io(machine.driver, spec)
    return Held(held, tuple(warnings), describe_jail(guest.driver, config))


async def hold_now(
    resources: ResourceTable, live: LiveMachine, spec: MachineSpec, names: list[str]
) -> Mapping[str, str]:
    """Set the limits that these fields of the spec name for a VMM that runs; return what holds from now on. Raises
    `limit_unenforceable`, `vmm_failed`."""
    machine = live.machine
    controllers = {_CONTROLLERS[name] for name in names if name in _CONTROLLERS}
    identity = next(
        (r.identity for r in resources.of_machine(machine.id) if r.kind == kinds.CGROUP.name), None
    )
    confinement = Confined(Group.of_identity(identity) if identity else Group({}))
    confinement.limit(asked_limits(spec), only=controllers)
    for controller in sorted(controllers - confinement.held.keys()):
        reason = confinement.missing.get(controller) or delegation().missing.get(controller)
        raise _unenforceable(controller, reason or "the VMM has no control group for it")
    asked = asked_limits(spec)
    if {"io_limit_bytes", "iops_limit"} & set(names):
        await live.vm.limit_io(asked.io_bytes, asked.io_operations)
    return {**machine.limits, **confinement.held, **_describe_io(machine.driver, spec)}


def find_memory_kill(resources: ResourceTable, machine: Machine) -> MemoryLimitReached | None:
    """Whether the kernel killed the VMM at its memory limit. Call it before the control group is released."""
    for resource in resources.of_machine(machine.id):
        if resource.kind == kinds.CGROUP.name:
            group = Group.of_identity(resource.identity)
            if group.memory_kills():
                asked_bytes = machine.spec.memory_limit_bytes
                return MemoryLimitReached(limit_bytes=asked_bytes or group.memory_limit_bytes())
    return None


def _asked(spec: MachineSpec) -> dict[str, bool]:
    """For each controller whether the user asked for a limit that needs it."""
    return {
        "memory": bool(spec.memory_limit_bytes),
        "cpu": bool(spec.cpu_limit),
        "pids": bool(spec.pids_limit),
    }


def _describe_io(driver: str, spec: MachineSpec) -> dict[str, str]:
    shown = {}
    if spec.io_limit_bytes:
        shown["io"] = f"{driver}, {format_size(spec.io_limit_bytes)}/s"
    if spec.iops_limit:
        shown["iops"] = f"{driver}, {spec.iops_limit}/s"
    return shown


def _too_low(what: str, least: str) -> Error:
    return Error("bad_spec", f"the {what} is too low for any machine", f"use at least {least}, or no limit")


def _unenforceable(controller: str, reason: str) -> Error:
    return Error(
        "limit_unenforceable",
        f"the {controller} limit cannot be enforced here: {reason}",
        "docs/limits.md has the requirements; --limits best-effort runs the machine without this limit",
        {"limit": controller, "reason": reason},
    )
