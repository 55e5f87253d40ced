"""A guest that does not answer is no command that took too long, unless its user set a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from banger.errors import Error
from banger.machines.life import live
from banger.machines.life.live import LiveMachine
from banger.model.command import Command
from banger.model.machine import Machine, MachineSpec, MachineState


@pytest.mark.parametrize(
    ("limit_s", "code", "exit_code"),
    [(0.0, "agent_silent", 125), (600.0, "agent_silent", 125), (1.0, "timeout", 124)],
)
def test_whose_limit_it_was_is_told(
    monkeypatch: pytest.MonkeyPatch, limit_s: float, code: str, exit_code: int
) -> None:
    async def start_process(*_: object, **__: object) -> None:
        raise Error("agent_silent", "the agent of dev did not answer EXEC", "banger vm health dev")

    monkeypatch.setattr(live, "start_process", start_process)
    machine: Any = LiveMachine.__new__(LiveMachine)
    spec = MachineSpec(image="debian")
    machine.machine = Machine(id="0", name="dev", state=MachineState.RUNNING, spec=spec, created="now")
    monkeypatch.setattr(machine, "agent", lambda: None)
    monkeypatch.setattr(machine, "_limits_of_processes", tuple)
    with pytest.raises(Error) as caught:
        asyncio.run(machine.start_exec(Command(argv=["true"], timeout_s=limit_s), None))
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert "vm health" in caught.value.hint
