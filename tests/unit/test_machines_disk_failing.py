"""A guest whose root disk fails: told once of the machine, by whatever its VMM says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.machines.keep.events import Journal
from banger.machines.keep.registry import Registry
from banger.machines.life.lives import Lives
from banger.machines.watch.disk_room import FAILED, DiskRoom
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store
from banger.vmm.qemu.monitor import Monitor

REASON = "File too large"


def test_a_failing_disk_is_told_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    try:
        journal = Journal(store.events)
        registry = Registry(store, journal.tell)
        machine = Machine(
            id="m1", name="dev", state=MachineState.RUNNING, spec=MachineSpec(image="x"), created=""
        )
        registry.add(machine)
        on_failed: list[Callable[[str], None]] = []
        vm = SimpleNamespace(watch_disk=lambda _, failed: on_failed.append(failed))
        live: Any = SimpleNamespace(vm=vm, machine=machine, disk_full=False)
        nothing: Any = None
        DiskRoom(Lives(registry, nothing), 0).watch(live)
        for reason in (REASON, REASON, "Input/output error"):
            on_failed[0](reason)
        assert machine.disk_failed
        assert registry.find("dev").warnings == (f"{FAILED}: {REASON}",)
        told = [event for event in store.events.page(0, 100) if event.kind == "machine.warning"]
        assert [event.message for event in told] == [f"dev: {FAILED}: {REASON}"]
    finally:
        store.close()


@pytest.mark.parametrize(
    ("data", "full", "failed"),
    [
        ({"nospace": True, "action": "stop"}, 1, []),
        ({"nospace": False, "action": "report", "reason": REASON}, 0, [REASON]),
        (
            {"nospace": False, "action": "report", "reason": "\ud800\x1b[2J" + "x" * 999},
            0,
            ["??[2J" + "x" * 95],
        ),
        ({"action": "report", "reason": {"a": []}}, 0, ["{'a': []}"]),
        ("no data", 0, [""]),
    ],
)
def test_what_a_vmm_says_of_its_disk_is_told_in_one_line(data: object, full: int, failed: list[str]) -> None:
    heard: list[str] = []

    async def scenario() -> int:
        monitor, found_full = Monitor("dev"), []
        monitor.on_disk_full = lambda: found_full.append(1)
        monitor.on_disk_failed = heard.append
        message: Any = {"event": "BLOCK_IO_ERROR", "data": data}
        monitor._note(message)
        await monitor.close()
        return len(found_full)

    assert asyncio.run(scenario()) == full
    assert heard == failed
