"""Machines that are started again, and the host compared with the records of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.support.home import IMAGE, Home, alive, wait_until
from tests.support.shelter import Shelter, delete_machines, open_shelter

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def shelter() -> Iterator[Shelter]:
    with open_shelter(own_templates=True) as opened:
        yield opened


@pytest.fixture
def own(shelter: Shelter, request: pytest.FixtureRequest) -> Iterator[Home]:
    """These stop the daemon again and again."""
    with shelter.lend(request.node, delete_machines) as home:
        yield home


def shown(home: Home, name: str) -> Any:
    return home.json("vm", "show", name)


def kill_daemon(home: Home) -> None:
    pid = home.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5, "the daemon is dead")


def pretend_a_reboot(home: Home) -> None:
    """No daemon, no VMM, and records of another boot."""
    vmms = [m["pid"] for m in home.json("vm", "list") if m["pid"]]
    kill_daemon(home)
    for vmm in vmms:
        os.kill(vmm, signal.SIGKILL)
    with sqlite3.connect(home.state / "banger.db") as store:
        for row, identity in store.execute(
            "SELECT id, identity FROM resources WHERE kind = 'vmm'"
        ).fetchall():
            record = {**json.loads(identity), "boot": "of another time"}
            store.execute(
                "UPDATE resources SET identity = ? WHERE id = ?", (json.dumps(record).encode(), row)
            )
    store.close()


def test_a_command_that_fails_is_tried_again_and_then_no_more(own: Home) -> None:
    own.text("run", "-d", "--restart", "on-failure:2", "--name", "fails", IMAGE, "--", "sh", "-c", "exit 3")
    wait_until(lambda: shown(own, "fails")["restarts"] == 2, 60, "it was started twice more")
    wait_until(lambda: shown(own, "fails")["reason"] == "its command ended with 3", 60, "it gave up")
    assert shown(own, "fails")["state"] == "stopped"
    own.text("vm", "delete", "fails")


def test_success_is_no_failure_but_always_is_always(own: Home) -> None:
    own.text("run", "-d", "--restart", "on-failure", "--name", "calm", IMAGE, "--", "true")
    own.text("run", "-d", "--restart", "always", "--name", "eager", IMAGE, "--", "true")
    wait_until(lambda: shown(own, "eager")["restarts"] >= 1, 60, "it is started again")
    wait_until(lambda: shown(own, "calm")["state"] == "stopped", 30, "it has ended")
    assert shown(own, "calm")["restarts"] == 0
    own.text("vm", "delete", "-f", "calm", "eager")


def test_who_stops_a_machine_means_it(own: Home) -> None:
    own.text("run", "-d", "--restart", "always", "--name", "held", IMAGE)
    own.text("vm", "stop", "held")
    assert shown(own, "held")["reason"] == "stopped as asked"
    own.text("run", "-d", "--restart", "always", "--name", "due", IMAGE, "--", "false")
    wait_until(lambda: "starts again" in shown(own, "due")["reason"], 60, "a restart is due")
    own.text("vm", "stop", "due")
    assert "starts again" not in shown(own, "due")["reason"]
    own.text("vm", "delete", "held", "due")


def test_a_vmm_that_is_killed_is_a_failure(own: Home) -> None:
    own.text("run", "-d", "--restart", "on-failure", "--name", "hit", IMAGE)
    vmm = shown(own, "hit")["pid"]
    os.kill(vmm, signal.SIGKILL)
    wait_until(lambda: shown(own, "hit")["pid"] not in (0, vmm), 60, "another VMM runs")
    wait_until(lambda: own.run("exec", "hit", "--", "true").returncode == 0, 30, "it answers")
    own.text("vm", "delete", "-f", "hit")


def test_a_machine_that_is_removed_cannot_be_restarted(own: Home) -> None:
    done = own.run("run", "--rm", "--restart", "always", IMAGE, "--", "true")
    assert done.returncode == 2 and b"leave out either --rm or --restart" in done.stderr
    done = own.run("run", "--restart", "sometimes", IMAGE, "--", "true")
    assert done.returncode == 2
    assert own.json("vm", "list") == []


def test_after_a_reboot_of_the_host_every_machine_is_what_it_is(own: Home) -> None:
    for name, policy in (
        ("never", "no"),
        ("back", "always"),
        ("also", "unless-stopped"),
        ("put", "unless-stopped"),
    ):
        own.text("run", "-d", "--restart", policy, "--name", name, IMAGE)
    own.text("exec", "back", "--", "sh", "-c", "echo kept > /kept; sync")
    own.text("vm", "stop", "put")
    pretend_a_reboot(own)
    wait_until(lambda: shown(own, "never")["state"] == "stopped", 20, "it is seen")
    assert shown(own, "never")["reason"] == "the host was rebooted"

    def answers(name: str) -> bool:
        return own.run("exec", name, "--", "true").returncode == 0

    for name in ("back", "also"):
        wait_until(partial(answers, name), 90, f"{name} is back")
    assert own.text("exec", "back", "--", "cat", "/kept") == "kept\n"
    assert shown(own, "put")["state"] == "stopped"
    own.text("vm", "delete", "-f", "never", "back", "also", "put")


def test_reconcile_finds_what_no_record_leads_to_and_removes_it_when_asked(own: Home) -> None:
    assert own.text("system", "reconcile") == "records and host agree\n"
    own.text("run", "-d", "--name", "known", IMAGE)
    stray = subprocess.Popen(
        ["sleep", "600"], cwd=own.state, env={**os.environ, "BANGER_RESOURCE": "of-nobody"}
    )
    left = [own.state / "machines/0123456789ab", own.state / "sockets/lost", own.state / "snapshots/.fork-1"]
    left += {path.with_name(path.name.rpartition("-")[0] + "-lost") for path in own.control_groups()}
    for directory in left:
        directory.mkdir(parents=True)
    try:
        found = own.json("system", "reconcile", "--dry-run", "--remove")["leftovers"]
        assert {entry["what"] for entry in found} == {*map(str, left), f"{stray.pid} (of-nobody)"}
        assert not any(entry["removed"] for entry in found)
        assert stray.poll() is None and all(directory.exists() for directory in left)
        assert all(entry["removed"] for entry in own.json("system", "reconcile", "--remove")["leftovers"])
        assert stray.wait(10) == -signal.SIGKILL
        assert not any(directory.exists() for directory in left)
    finally:
        stray.kill()
        stray.wait()
    assert own.text("exec", "known", "--", "hostname") == "known\n"
    own.text("vm", "delete", "-f", "known")


def test_a_pid_that_was_given_to_somebody_else_is_not_touched(own: Home) -> None:
    """The record names a pid; who has it now began at another time."""
    own.text("run", "-d", "--name", "gone", IMAGE)
    vmm = shown(own, "gone")["pid"]
    kill_daemon(own)
    os.kill(vmm, signal.SIGKILL)
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        with sqlite3.connect(own.state / "banger.db") as store:
            ((row, identity),) = store.execute(
                "SELECT id, identity FROM resources WHERE kind = 'vmm'"
            ).fetchall()
            record = {**json.loads(identity), "pid": bystander.pid}
            store.execute(
                "UPDATE resources SET identity = ? WHERE id = ?", (json.dumps(record).encode(), row)
            )
        store.close()
        wait_until(lambda: shown(own, "gone")["state"] == "stopped", 20, "it is known to be gone")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    own.text("vm", "delete", "gone")
