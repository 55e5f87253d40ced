"""What was asked for, what a host can enforce, and what becomes of the difference."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from banger.errors import Error
from banger.guests.confinement import Confinement, plan_limits
from banger.host import cpu
from banger.host.cgroup import Group
from banger.host.delegation import Delegation
from banger.machines.life import limits, makings
from banger.machines.life.limits import asked_limits, check_asked, find_memory_kill
from banger.model.ending import MemoryLimitReached
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.sizes import GIB, MIB
from banger.resources import kinds, teardown
from banger.store.store import Store
from banger.vmm.base import VmLimits
from banger.vmm.qemu.driver import QemuDriver
from tests.support.vm_configs import vm_config


def spec(**asked: Any) -> MachineSpec:
    return MachineSpec(image="x", **asked)


def test_what_nobody_asked_for_is_what_such_a_vm_needs() -> None:
    driver = QemuDriver(Path("/agent"))
    needed = plan_limits(vm_config(), driver)
    assert needed == VmLimits(memory_bytes=852 * MIB, cpus=2.25, pids=130)
    assert plan_limits(vm_config(accel="kvm"), driver).memory_bytes == 724 * MIB
    asked = plan_limits(vm_config(limits=VmLimits(cpus=0.5)), driver)
    assert asked == VmLimits(memory_bytes=852 * MIB, cpus=0.5, pids=130)


@pytest.mark.parametrize(
    "asked", [{"memory_limit_bytes": MIB}, {"cpu_limit": 0.001}, {"pids_limit": 80}, {"pids_limit": 1}]
)
def test_a_limit_that_no_vmm_could_live_with_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(Error) as caught:
        check_asked(spec(**asked))
    assert caught.value.code == "bad_spec"


def test_limits_that_a_vmm_can_live_with_are_taken() -> None:
    asked = spec(memory_limit_bytes=128 * MIB, cpu_limit=0.01, pids_limit=81, io_limit_bytes=1, iops_limit=1)
    check_asked(asked)
    assert asked_limits(asked) == VmLimits(128 * MIB, 0.01, 81, 1, 1)


@pytest.mark.parametrize("controller", ["memory", "cpu", "pids"])
def test_only_what_was_asked_for_and_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, controller: str
) -> None:
    monkeypatch.setattr(limits, "delegation", lambda: Delegation({}, {controller: "nobody gave it"}))
    fields = {"memory": "memory_limit_bytes", "cpu": "cpu_limit", "pids": "pids_limit"}
    asked = {field: 128 * MIB for name, field in fields.items() if name != controller}
    limits.refuse_unenforceable(spec(io_limit_bytes=1, **asked))
    limits.refuse_unenforceable(spec(**{fields[controller]: 1}, limits="best-effort"))
    with pytest.raises(Error) as caught:
        limits.refuse_unenforceable(spec(**{fields[controller]: 1}))
    assert caught.value.code == "limit_unenforceable"
    assert "nobody gave it" in caught.value.message


def test_a_knob_that_the_kernel_refuses_is_missing_and_the_others_hold(tmp_path: Path) -> None:
    group = Group({"memory": tmp_path / "not-there", "cpu": tmp_path, "pids": tmp_path})
    confinement = Confinement(group)
    confinement.limit(VmLimits(memory_bytes=GIB, cpus=1.5, pids=9))
    assert confinement.held == {"cpu": "cgroup v1, 1.5 processors", "pids": "cgroup v1, 9 threads"}
    assert "1GiB" in confinement.missing["memory"]


def test_a_death_for_memory_is_told_with_the_limit(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    machine = Machine(id="m", name="dev", state=MachineState.RUNNING, spec=spec(), created="now")
    asked = replace(machine, spec=spec(memory_limit_bytes=300_000_000))
    assert find_memory_kill(store.resources, machine) is None
    store.resources.note("m", kinds.CGROUP.name, Group({"memory": tmp_path}).identity)
    assert find_memory_kill(store.resources, machine) is None
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    for knob, limit_bytes in ("", 0), ("max\n", 0), (f"{1 << 63}\n", 0), (f"{256 * MIB}\n", 256 * MIB):
        (tmp_path / "memory.max").write_text(knob)
        assert find_memory_kill(store.resources, machine) == MemoryLimitReached(limit_bytes=limit_bytes)
        assert find_memory_kill(store.resources, asked) == MemoryLimitReached(limit_bytes=300_000_000)
    store.close()


def test_a_group_is_released_by_its_record_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    group = Group({name: tmp_path / name for name in ("memory", "pids")})
    group.make()
    store.resources.note("m", kinds.CGROUP.name, group.identity)
    assert asyncio.run(teardown.release(store.resources, "m", kinds.RUNTIME)) == []
    assert not any(path.exists() for path in group.paths)
    assert store.resources.of_machine("m") == []
    store.close()


def test_the_host_keeps_its_reserve_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "available_memory_bytes", lambda: GIB)
    makings.check_memory(512, 256 * MIB)
    with pytest.raises(Error) as caught:
        makings.check_memory(512, 900 * MIB)
    assert caught.value.code == "insufficient_memory"
    assert "900MiB stay reserved" in caught.value.message
