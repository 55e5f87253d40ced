"""Why machines end: told apart, and which of them are failures."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from msgspec.structs import replace

from banger.agent.events import AgentEvent
from banger.guests.console import find_panic
from banger.machines.ask.execs import RunningExec
from banger.machines.keep.reasons import describe, describe_ending
from banger.machines.life.endings import find_ending, is_failure
from banger.machines.life.live import LiveMachine
from banger.machines.life.restarts import (
    ended_unseen,
    is_due,
    plan_reboot_pause_s,
    wants_reboot,
    wants_restart,
)
from banger.model.command import Exit
from banger.model.ending import (
    CommandEnded,
    EndedUnseen,
    Ending,
    HostRebooted,
    MemoryLimitReached,
    OutOfMemory,
    Panicked,
    PoweredOff,
    Rebooted,
    StartCancelled,
    StartFailed,
    StartInterrupted,
    StoppedAsAsked,
    VmmEnded,
    VmmKilled,
    kind_of,
)
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.sizes import MIB
from banger.vmm.qemu.driver import read_end

PANIC = (
    b"[    5.1] Kernel panic - not syncing: sysrq triggered crash\n[    5.1] Call Trace:\n[    5.1]  <TASK>\n"
)
RESTART = b"[    9.9] reboot: Restarting system\n"
KILLED = Exit(code=137, signal=9)


def a_machine(**fields: Any) -> Machine:
    fields.setdefault("state", MachineState.RUNNING)
    return Machine(
        id="1", name="dev", spec=MachineSpec(image="x", **fields.pop("spec", {})), created="", **fields
    )


def ended(tmp_path: Path, machine: Machine, said: str, console: bytes = b"", begin: int = 0) -> Ending:
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
    return find_ending(live)


@pytest.mark.parametrize(
    ("said", "console", "ending"),
    [
        ("guest-reset", b"", Rebooted()),
        ("guest-reset", RESTART, Rebooted()),
        ("guest-reset", PANIC, Panicked(message="sysrq triggered crash")),
        ("guest-panic", b"", Panicked()),
        ("guest-shutdown", PANIC, PoweredOff()),
        ("host-signal", b"", VmmKilled(by_signal=True)),
        ("", PANIC, VmmKilled()),
        ("host-error", b"", VmmEnded(said="host-error")),
    ],
)
def test_each_end_is_told_from_the_others(tmp_path: Path, said: str, console: bytes, ending: Ending) -> None:
    assert ended(tmp_path, a_machine(), said, console) == ending


def test_what_a_guest_does_to_itself_comes_before_what_that_did_to_its_command(tmp_path: Path) -> None:
    machine = a_machine(exit=Exit(code=143, signal=15))
    assert ended(tmp_path, machine, "guest-reset") == Rebooted()
    machine = replace(machine, state=MachineState.STOPPING)  # for the command had ended
    assert ended(tmp_path, machine, "guest-shutdown") == CommandEnded(exit=Exit(code=143, signal=15))
    machine = replace(machine, wanted="stopped")
    assert ended(tmp_path, machine, "guest-shutdown") == StoppedAsAsked()


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


ENDINGS: list[tuple[Ending, str, str, bool]] = [
    (StoppedAsAsked(), "as_asked", "stopped as asked", True),
    (CommandEnded(exit=Exit(code=3)), "command", "its command ended with 3", True),
    (OutOfMemory(exit=KILLED), "oom", "its command ended with 137: OOM-killed in the guest", True),
    (Panicked(), "panic", "the guest's kernel panicked", True),
    (Panicked(message="x; y: z"), "panic", "the guest's kernel panicked: x; y: z", True),
    (Rebooted(), "reboot", "the guest rebooted", False),
    (PoweredOff(), "poweroff", "the guest powered off", False),
    (VmmKilled(), "vmm_killed", "the VMM ended unexpectedly", True),
    (VmmKilled(by_signal=True), "vmm_killed", "the VMM was ended by a signal", True),
    (VmmEnded(said="host-error"), "vmm_ended", "the VMM said host-error", True),
    (
        MemoryLimitReached(limit_bytes=256 * MIB),
        "memory_limit",
        "the host's kernel killed the VMM: it reached its memory limit of 256MiB",
        True,
    ),
    (
        MemoryLimitReached(),
        "memory_limit",
        "the host's kernel killed the VMM: it reached its memory limit",
        True,
    ),
    (EndedUnseen(), "unseen", "the VMM had ended while no daemon ran", True),
    (HostRebooted(), "host_reboot", "the host was rebooted", True),
    (StartInterrupted(), "start_interrupted", "the daemon ended during the machine's start", True),
    (StartCancelled(), "start_cancelled", "the start was cancelled", True),
    (
        StartFailed(code="image_not_found", message="no image named 'x'"),
        "start_failed",
        "no image named 'x'",
        True,
    ),
]


@pytest.mark.parametrize(("ending", "kind", "words", "failed"), ENDINGS)
def test_each_end_has_a_kind_and_words_and_may_be_a_failure(
    ending: Ending, kind: str, words: str, failed: bool
) -> None:
    machine = a_machine(ending=ending, exit=Exit(code=143, signal=15))
    assert (kind_of(ending), describe_ending(ending)) == (kind, words)
    assert is_failure(machine) is failed
    assert describe(replace(machine, restart_in_s=2)) == f"{words}; starts again in 2 s"
    assert describe(replace(machine, restart_in_s=0)) == f"{words}; starts again"


def test_every_kind_of_end_is_in_the_table() -> None:
    assert {type(ending) for ending, *_ in ENDINGS} == {*get_args(Ending)}


def test_words_that_a_guest_chose_decide_nothing() -> None:
    """A panic that quotes other endings, a start that fails with the words of a reboot."""
    crafty = [
        Panicked(message="; starts again"),
        StartFailed(code="boot_failed", message="the guest rebooted"),
    ]
    for ending in crafty:
        machine = a_machine(state=MachineState.STOPPED, ending=ending, wanted="running")
        assert not wants_reboot(machine) and not is_due(machine) and not ended_unseen(machine)


def test_who_was_killed_for_memory_is_a_number_that_the_agent_tells(tmp_path: Path) -> None:
    live: Any = SimpleNamespace(_oom_victims=deque(), goes_down=False, on_event=lambda code, message: None)

    def was_killed(pid: int) -> bool:
        return LiveMachine.was_oom_killed(
            live, cast(RunningExec, SimpleNamespace(info=SimpleNamespace(pid=pid)))
        )

    LiveMachine.on_agent_event(live, AgentEvent("oom", "killed process 7 (tail) for lack of memory", 5))
    assert was_killed(5) and not was_killed(7)
    LiveMachine.on_agent_event(live, AgentEvent("oom", "killed process 7 (tail) for lack of memory"))
    assert was_killed(7), "it may have been anybody"


def test_a_reboot_is_followed_by_a_start_whatever_the_policy() -> None:
    machine = a_machine(ending=Rebooted(), wanted="running")
    assert wants_reboot(machine) and not wants_restart(machine, failed=False, restarts=0)
    assert not wants_reboot(a_machine(ending=Rebooted(), wanted="running", spec={"remove": True}))
    assert not wants_reboot(a_machine(ending=Rebooted(), wanted="stopped"))
    assert not wants_reboot(a_machine(ending=PoweredOff(), wanted="running"))


def test_a_start_that_was_due_is_made_by_the_next_daemon() -> None:
    machine = a_machine(state=MachineState.FAILED, ending=CommandEnded(exit=Exit(code=3)), restart_in_s=0.5)
    assert is_due(machine) and is_due(replace(machine, restart_in_s=0))
    assert not is_due(replace(machine, restart_in_s=None))
    assert not is_due(replace(machine, state=MachineState.DELETING))


def test_one_reboot_is_at_once_and_many_in_a_row_are_not() -> None:
    pauses = [plan_reboot_pause_s(n) for n in range(12)]
    assert pauses[0] == 0 and pauses[1] > 0
    assert pauses == sorted(pauses) and pauses[-1] == 60
