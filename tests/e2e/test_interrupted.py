"""Daemons that ended at moments which a random kill seldom hits: their records are written as they would have been."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest

from banger.agent.connection import open_connection
from banger.errors import Error
from banger.vmm.channel import dial_port
from banger.wire.constants import Type
from tests.support.home import IMAGE, Home, alive, wait_until

pytestmark = pytest.mark.e2e


@contextmanager
def killed_daemon(home: Home) -> Iterator[None]:
    """In the block there is none; the next command starts another."""
    pid = home.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5, "the daemon is dead")
    yield


def rewrite(home: Home, name: str, **fields: Any) -> None:
    """A machine's record, as a daemon would have left it."""
    with closing(sqlite3.connect(home.state / "banger.db")) as store, store:
        record = json.loads(
            store.execute("SELECT record FROM machines WHERE name = ?", (name,)).fetchone()[0]
        )
        store.execute(
            "UPDATE machines SET record = ? WHERE name = ?", (json.dumps(record | fields).encode(), name)
        )


def state_of(home: Home, name: str) -> str:
    return next((m["state"] for m in home.json("vm", "list") if m["name"] == name), "gone")


def test_vcpus_that_a_freeze_had_stopped_go_on(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    own_home.text("vm", "pause", "calm")
    with killed_daemon(own_home):
        rewrite(own_home, "calm", state="running")
    assert own_home.text("exec", "calm", "--", "echo", "here") == "here\n"
    assert state_of(own_home, "calm") == "running"


def test_a_resume_that_was_not_written_down_did_not_happen(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    with killed_daemon(own_home):
        rewrite(own_home, "calm", state="paused")
    assert b"paused" in own_home.run("exec", "calm", "--", "true").stderr
    own_home.text("vm", "resume", "calm")
    assert own_home.text("exec", "calm", "--", "echo", "here") == "here\n"


def test_a_machine_that_was_paused_over_two_daemons_knows_the_time(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    own_home.text("vm", "pause", "calm")
    with killed_daemon(own_home):
        time.sleep(4)
    own_home.text("vm", "resume", "calm")
    assert abs(int(own_home.text("exec", "calm", "--", "date", "+%s")) - time.time()) < 3


def test_a_run_that_had_not_begun_is_removed_and_a_created_machine_is_not(own_home: Home) -> None:
    for name in ("begun", "kept"):
        own_home.text("vm", "create", "--name", name, IMAGE)
    spec = own_home.json("vm", "show", "begun")["spec"]
    with killed_daemon(own_home):
        rewrite(own_home, "begun", spec=spec | {"remove": True}, wanted="running")
        rewrite(own_home, "kept", spec=spec | {"name": "kept", "remove": True})
    wait_until(lambda: state_of(own_home, "begun") == "gone", 10, "it is removed")
    assert state_of(own_home, "kept") == "created"


def test_a_machine_that_had_ended_and_was_to_be_removed_is(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "over", IMAGE)
    own_home.text("vm", "stop", "over")
    spec = own_home.json("vm", "show", "over")["spec"]
    with killed_daemon(own_home):
        rewrite(own_home, "over", spec=spec | {"remove": True})
    wait_until(lambda: state_of(own_home, "over") == "gone", 10, "it is removed")
    assert own_home.leftovers() == []


def test_a_start_that_was_not_complete_did_not_happen(own_home: Home) -> None:
    for name in ("half", "child"):
        own_home.text("run", "-d", "--name", name, IMAGE)
    with killed_daemon(own_home):
        rewrite(own_home, "half", has_started=False)
        rewrite(own_home, "child", origin={"kind": "fork", "machine": "half"}, unfinished=True)
    wait_until(lambda: state_of(own_home, "half") == "stopped", 10, "it is stopped")
    assert own_home.json("vm", "show", "half")["reason"] == "the daemon ended during the machine's start"
    wait_until(lambda: state_of(own_home, "child") == "gone", 10, "a fork is whole or not there")
    assert own_home.machine_processes() == []
    assert not [*own_home.state.glob("machines/*/memory")], "nobody needs what it began with"
    own_home.text("vm", "start", "half")


def test_a_restart_that_was_due_takes_place(own_home: Home) -> None:
    for name in ("due", "calm"):
        own_home.text("run", "-d", "--restart", "on-failure", "--name", name, IMAGE)
        own_home.text("vm", "stop", name)
    failed = {"kind": "command", "exit": {"code": 3, "signal": 0, "timed_out": False}}
    with killed_daemon(own_home):
        rewrite(own_home, "due", wanted="running", ending=failed, restart_in_s=30.0)
        rewrite(own_home, "calm", wanted="running", ending=failed)
    wait_until(lambda: state_of(own_home, "due") == "running", 60, "it is started again")
    calm = own_home.json("vm", "show", "calm")
    assert (calm["state"], calm["ending"], calm["reason"]) == ("stopped", failed, "its command ended with 3")
    due = own_home.json("vm", "show", "due")
    assert (due["ending"], due["restart_in_s"], due["reason"], due["has_started"]) == (None, None, "", True)


def test_a_command_whose_end_was_written_down_ends_its_machine(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    with killed_daemon(own_home):
        rewrite(own_home, "calm", exit={"code": 3})
    wait_until(lambda: state_of(own_home, "calm") == "stopped", 20, "it is stopped")
    assert own_home.json("vm", "show", "calm")["exit"]["code"] == 3


def test_a_commit_that_was_cut_off_leaves_no_frozen_root(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    for delay_s in (0.15, 0.25, 0.4):
        commit = own_home.popen("vm", "commit", "calm", "half", stderr=subprocess.DEVNULL)
        pid = own_home.daemon_pid()
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        assert commit.wait(30) != 0
        own_home.run("exec", "calm", "--", "sh", "-c", "echo x > /root/x; sync", check=True, timeout_s=30)


def test_a_root_that_freezes_for_a_daemon_that_is_gone_thaws(own_home: Home) -> None:
    """The freeze waits for what was written; whoever wanted it is killed meanwhile."""
    own_home.text("run", "-d", "--name", "calm", "--memory", "512MiB", IMAGE)
    own_home.text("exec", "calm", "--", "dd", "if=/dev/urandom", "of=/root/big", "bs=1M", "count=100")
    shown = own_home.json("vm", "show", "calm")
    socket = own_home.state / "sockets" / (shown["place"] or shown["id"]) / "agent.sock"

    async def begin_to_freeze() -> None:
        connection = await open_connection(partial(dial_port, socket), "calm", 10, resync=True)
        with pytest.raises(Error, match="did not answer FREEZE"):
            await connection.request(Type.FREEZE, timeout_s=0.05)
        connection.close()

    with killed_daemon(own_home):
        asyncio.run(begin_to_freeze())
    own_home.run("exec", "calm", "--", "sh", "-c", "echo x > /root/x; sync", check=True, timeout_s=60)
    own_home.run("exec", "calm", "--", "sh", "-c", "echo y > /root/x; sync", check=True, timeout_s=30)
