"""Why machines end: told apart, and which of them are failures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from banger.guests.console import find_panic
from banger.machines.life.endings import (
    AS_ASKED,
    PANICKED,
    POWERED_OFF,
    REBOOTED,
    SIGNALLED,
    UNEXPECTED,
    code_of,
    describe_end,
    is_failure,
)
from banger.machines.life.restarts import plan_reboot_pause_s, wants_reboot, wants_restart
from banger.model.command import Exit
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.vmm.qemu.driver import read_end

PANIC = (
    b"[    5.1] Kernel panic - not syncing: sysrq triggered crash\n[    5.1] Call Trace:\n[    5.1]  <TASK>\n"
)
RESTART = b"[    9.9] reboot: Restarting system\n"


def a_machine(**fields: Any) -> Machine:
    fields.setdefault("state", MachineState.RUNNING)
    return Machine(
        id="1", name="dev", spec=MachineSpec(image="x", **fields.pop("spec", {})), created="", **fields
    )


def ended(tmp_path: Path, machine: Machine, said: str, console: bytes = b"", begin: int = 0) -> str:
    log = tmp_path / "console.log"
    log.write_bytes(console)
    live: Any = SimpleNamespace(
        machine=machine,
        main=None if machine.exit is None else object(),
        vm=SimpleNamespace(end=lambda: read_end(said)),
        places=SimpleNamespace(console_log=log),
        console_begin=begin,
        was_oom_killed=lambda _: False,
    )
    return describe_end(live)


@pytest.mark.parametrize(
    ("said", "console", "reason"),
    [
        ("guest-reset", b"", REBOOTED),
        ("guest-reset", RESTART, REBOOTED),
        ("guest-reset", PANIC, f"{PANICKED}: sysrq triggered crash"),
        ("guest-panic", b"", PANICKED),
        ("guest-shutdown", PANIC, POWERED_OFF),
        ("host-signal", b"", SIGNALLED),
        ("", PANIC, UNEXPECTED),
        ("host-error", b"", "the VMM said host-error"),
    ],
)
def test_each_end_has_words_of_its_own(tmp_path: Path, said: str, console: bytes, reason: str) -> None:
    assert ended(tmp_path, a_machine(), said, console) == reason


def test_what_a_guest_does_to_itself_comes_before_what_that_did_to_its_command(tmp_path: Path) -> None:
    machine = a_machine(exit=Exit(code=143, signal=15))
    assert ended(tmp_path, machine, "guest-reset") == REBOOTED
    machine = replace(machine, state=MachineState.STOPPING)  # for the command had ended
    assert ended(tmp_path, machine, "guest-shutdown") == "its command ended with 143"
    machine = replace(machine, wanted="stopped")
    assert ended(tmp_path, machine, "guest-shutdown") == AS_ASKED


def test_a_panic_of_an_earlier_life_is_none_of_this_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(PANIC)
    assert find_panic(log, 0) and not find_panic(log, len(PANIC))
    log.write_bytes(PANIC + RESTART)
    assert not find_panic(log, 0)
    assert not find_panic(tmp_path / "missing", 0)


def test_what_a_guest_writes_of_its_panic_is_harmless(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"Kernel panic - not syncing: \x1b[2J\xff\x00" + b"x" * 100_000)
    said = find_panic(log, 0)
    assert len(said) <= 200 and said.isprintable()
    log.write_bytes(b"Kernel panic - not syncing: ")
    assert find_panic(log, 0) == ""


@pytest.mark.parametrize(
    ("reason", "code", "failed"),
    [
        (f"{PANICKED}: x", "panic", True),
        (REBOOTED, "reboot", False),
        (POWERED_OFF, "poweroff", False),
        (UNEXPECTED, "vmm_killed", True),
        (SIGNALLED, "vmm_killed", True),
        ("its command ended with 143", "", True),
    ],
)
def test_codes_and_failures(reason: str, code: str, failed: bool) -> None:
    machine = a_machine(reason=reason, exit=Exit(code=143, signal=15))
    assert code_of(reason) == code
    assert is_failure(machine) is failed


def test_a_reboot_is_followed_by_a_start_whatever_the_policy() -> None:
    machine = a_machine(reason=REBOOTED, wanted="running")
    assert wants_reboot(machine) and not wants_restart(machine, failed=False, restarts=0)
    assert not wants_reboot(a_machine(reason=REBOOTED, wanted="running", spec={"remove": True}))
    assert not wants_reboot(a_machine(reason=REBOOTED, wanted="stopped"))
    assert not wants_reboot(a_machine(reason=POWERED_OFF, wanted="running"))


def test_one_reboot_is_at_once_and_many_in_a_row_are_not() -> None:
    pauses = [plan_reboot_pause_s(n) for n in range(12)]
    assert pauses[0] == 0 and pauses[1] > 0
    assert pauses == sorted(pauses) and pauses[-1] == 60
