"""Stores whose machines say in sentences why they ended (version 4) and what they came from (up to version 6): they
load, with the facts of those."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from banger.machines.keep.registry import Registry
from banger.machines.life.restarts import ended_unseen, is_due, wants_reboot
from banger.model.command import Exit
from banger.model.ending import (
    CommandEnded,
    EndedUnseen,
    Ending,
    HostRebooted,
    MemoryLimitReached,
    OutOfMemory,
    Panicked,
    PauseCause,
    PoweredOff,
    Rebooted,
    StartCancelled,
    StartFailed,
    StartInterrupted,
    StoppedAsAsked,
    VmmEnded,
    VmmKilled,
)
from banger.model.machine import Machine
from banger.model.origin import Booted, ClonedFromTemplate, ForkedFrom, Origin, RestoredFromSnapshot
from banger.model.sizes import MIB
from banger.store.migrations import STEPS
from banger.store.sentences import with_ending, with_origin
from banger.store.store import Store

# As version 4 wrote it.
OLD = json.loads(
    '{"id":"0123456789ab","name":"dev","state":"stopped","spec":{"image":"debian-bookworm","name":"","kernel":"",'
    '"cpus":1,"memory_mib":512,"disk_bytes":4294967296,"init":"","accel":"auto","driver":"","remove":false,'
    '"cold":false,"restart":"on-failure:3","idle_pause_s":0,"cpu_limit":0,"memory_limit_bytes":268435456,'
    '"pids_limit":0,"io_limit_bytes":0,"iops_limit":0,"limits":"strict","boot_timeout_s":60,"command":'
    '{"entrypoint":null,"argv":["sh"],"env":{},"cwd":"","user":"","tty":false,"stdin":false,"rows":24,"cols":80,'
    '"timeout_s":0}},"created":"2026-01-31T12:00:00.000Z","owner":0,"image_digest":"","kernel":"","driver":"qemu",'
    '"accel":"tcg","accel_reason":"","kernel_digest":"","idle":false,"disk_full":false,"wanted":"running",'
    '"restarts":0,"reboots":0,"origin":"boot","unfinished":false,"place":"","address":"","stop_signal":"","pid":0,'
    '"agent_boot":"","started":"2026-01-31T12:00:01.000Z","stopped":"2026-01-31T12:00:09.000Z",'
    '"reason":"its command ended with 3","limits":{},"warnings":[],"exit":{"code":3,"signal":0,"timed_out":false},'
    '"timings_ms":{"start":812.5}}'
)


def old_store(path: Path, *records: dict[str, Any] | bytes) -> None:
    with closing(sqlite3.connect(path)) as raw:
        for step in STEPS[:4]:
            raw.executescript(step)
        raw.execute("PRAGMA user_version=4")
        for number, record in enumerate(records):
            written = record if isinstance(record, bytes) else json.dumps(record).encode()
            raw.execute("INSERT INTO machines VALUES (?, ?, ?)", (f"{number}", f"dev{number}", written))
        raw.commit()


def load(tmp_path: Path, **fields: Any) -> Machine:
    old_store(tmp_path / "s.db", OLD | fields)
    store = Store(tmp_path / "s.db")
    (machine,) = Registry(store).all()
    assert store.damage.all() == []
    store.close()
    return machine


ENDED = Exit(code=3)


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("stopped as asked", StoppedAsAsked()),
        ("its command ended with 3", CommandEnded(exit=ENDED)),
        ("its command ended with 3: OOM-killed in the guest", OutOfMemory(exit=ENDED)),
        ("the guest's kernel panicked", Panicked()),
        ("the guest's kernel panicked: Attempted to kill init!", Panicked(message="Attempted to kill init!")),
        ("the guest rebooted", Rebooted()),
        ("the guest powered off", PoweredOff()),
        ("the VMM was ended by a signal", VmmKilled(by_signal=True)),
        ("the VMM ended unexpectedly", VmmKilled()),
        ("the VMM said host-error", VmmEnded(said="host-error")),
        (
            "the host's kernel killed the VMM: it reached its memory limit of 256MiB",
            MemoryLimitReached(limit_bytes=256 * MIB),
        ),
        ("the VMM had ended while no daemon ran", EndedUnseen()),
        ("the host was rebooted", HostRebooted()),
        ("the daemon ended during the machine's start", StartInterrupted()),
        ("the start was cancelled", StartCancelled()),
        ("no image named 'x'; try another", StartFailed(code="", message="no image named 'x'; try another")),
    ],
)
def test_a_sentence_becomes_the_fact_that_it_stood_for(tmp_path: Path, reason: str, ending: Ending) -> None:
    machine = load(tmp_path, reason=reason)
    assert (machine.ending, machine.reason) == (ending, reason)
    assert machine.exit == ENDED and machine.has_started and machine.pause_cause is None


@pytest.mark.parametrize(
    ("words", "origin"),
    [
        ("", None),
        ("boot", Booted()),
        ("template 0123456789ab", ClonedFromTemplate(template="0123456789ab")),
        ("snapshot web:one", RestoredFromSnapshot(machine="web", tag="one")),
        ("fork of web", ForkedFrom(machine="web")),
    ],
)
def test_the_words_for_an_origin_become_a_fact(tmp_path: Path, words: str, origin: Origin | None) -> None:
    assert load(tmp_path, origin=words).origin == origin


def test_a_start_that_was_due_is_due_where_version_4_would_have_made_it(tmp_path: Path) -> None:
    machine = load(tmp_path, reason="the guest rebooted; starts again in 1.5 s")
    assert is_due(machine) and wants_reboot(machine) and machine.restart_in_s == 1.5


@pytest.mark.parametrize(
    ("reason", "is_unseen"),
    [
        ("its command ended with 3; starts again in 0.5 s", False),
        ("the VMM had ended while no daemon ran; starts again", True),
    ],
)
def test_a_start_that_an_older_daemon_had_forgotten_stays_so(
    tmp_path: Path, reason: str, is_unseen: bool
) -> None:
    machine = load(tmp_path, reason=reason)
    assert not is_due(machine) and ended_unseen(machine) is is_unseen
    assert machine.reason == reason.partition(";")[0]


@pytest.mark.parametrize(
    ("fields", "cause", "reason"),
    [
        ({}, PauseCause.USER, ""),
        ({"idle": True, "reason": "it was not used"}, PauseCause.IDLE, "it was not used"),
        (
            {"disk_full": True, "reason": "the host's disk is full"},
            PauseCause.DISK_FULL,
            "the host's disk is full",
        ),
    ],
)
def test_a_paused_machine_stays_paused_for_the_same_cause(
    tmp_path: Path, fields: dict[str, Any], cause: PauseCause, reason: str
) -> None:
    machine = load(tmp_path, **({"state": "paused", "exit": None, "reason": ""} | fields))
    assert (machine.pause_cause, machine.reason, machine.ending) == (cause, reason, None)


def test_a_start_without_timings_was_not_complete(tmp_path: Path) -> None:
    machine = load(tmp_path, state="running", timings_ms={}, reason="", exit=None)
    assert not machine.has_started and machine.ending is None


@pytest.mark.parametrize(
    "record",
    [b"", b"\0", b"[]", b"7", b'"x"', b"[" * 100_000, b'{"state": ["stopped"], "reason": {}}'],
)
def test_a_record_that_is_none_does_not_keep_the_others_from_loading(tmp_path: Path, record: bytes) -> None:
    old_store(tmp_path / "s.db", record, OLD)
    store = Store(tmp_path / "s.db")
    assert [machine.ending for machine in store.machines.all()] == [CommandEnded(exit=ENDED)]
    assert len(store.damage.all()) == 1


def test_a_record_may_have_any_values_where_the_sentence_and_its_facts_are() -> None:
    odd: list[Any] = [None, 7, "x", [], {}, "its command ended with 3", "the host's kernel killed the VMM"]
    for reason in odd:
        for other in odd:
            for state in ("stopped", "paused", "running", other):
                record = {"state": state, "reason": reason, "exit": other, "spec": other, "timings_ms": other}
                assert isinstance(with_ending(json.dumps(record).encode()), bytes)
                assert isinstance(with_origin(json.dumps(record | {"origin": other}).encode()), bytes)
