"""Events as a person and a program see them."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.support.home import IMAGE, Home, wait_until

pytestmark = pytest.mark.e2e


def events(home: Home, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in home.text("events", "--json", *words).splitlines()]


def test_a_run_is_told_from_its_beginning_to_its_end(home: Home, name: str) -> None:
    assert home.run("run", "--name", name, IMAGE, "--", "sh", "-c", "exit 3").returncode == 3
    told = events(home, "--machine", name)
    assert [event["kind"].removeprefix("machine.") for event in told] == [
        "created",
        "starting",
        "running",
        "stopping",
        "stopped",
    ]
    assert told[-1]["message"] == f"{name} stopped: its command ended with 3"
    assert told[-1]["data"]["exit"]["code"] == 3
    home.text("vm", "delete", name)
    assert events(home, "--machine", name, "--since", "10m")[-1]["kind"] == "machine.deleted"
    ended = told[-1]["time"]
    assert events(home, "--machine", name, "--until", ended)[-1]["kind"] == "machine.stopped"
    assert events(home, "--machine", name, "--until", "10m") == []


def test_a_follower_sees_what_others_do_and_the_daemons_end(own_home: Home) -> None:
    own_home.json("system", "info")
    last = events(own_home)[-1]["seq"]  # the home began with another's journal
    follower = own_home.popen("events", "--follow", "--since", "1h", "--json", stdout=subprocess.PIPE)
    assert follower.stdout is not None
    try:
        assert json.loads(follower.stdout.readline())["kind"]
        own_home.text("vm", "create", "--name", "dev", IMAGE)
        own_home.text("vm", "delete", "dev")
        own_home.text("system", "restart")
        rest = [json.loads(line) for line in follower.communicate(timeout=30)[0].splitlines()]
    finally:
        follower.kill()
        follower.communicate()
    assert follower.returncode == 0
    assert [event["kind"] for event in rest if event["seq"] > last] == [
        "machine.created",
        "machine.deleting",
        "machine.deleted",
        "daemon.stopped",
    ]
    assert events(own_home)[-1]["kind"] == "daemon.started"


def test_adoption_snapshots_and_failures_are_told(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "dev", IMAGE)
    own_home.text("system", "restart")
    wait_until(lambda: "machine.adopted" in kinds(own_home), 30, "it is taken over")
    own_home.text("vm", "snapshot", "dev", "one")
    own_home.text("snapshot", "delete", "dev", "one")
    assert own_home.run("vm", "restore", "dev", "none").returncode != 0
    told = kinds(own_home)
    assert told[-3:] == ["snapshot.made", "snapshot.deleted", "operation.failed"]


def test_a_guest_tells_whom_it_killed_for_memory_and_goes_on(home: Home, name: str) -> None:
    """Of a child of the agent, and of a process with another parent. What is no such kill, or the parent's of a fork,
    is not told."""
    home.text("run", "-d", "--name", name, "--memory", "128MiB", IMAGE)
    assert home.run("exec", name, "--", "tail", "/dev/zero").returncode == 137
    home.text(
        "exec", "-d", name, "--", "sh", "-c", "cp /bin/tail '/tmp/a) b'; '/tmp/a) b' /dev/zero; sleep 900"
    )
    wait_until(lambda: len(told_by_guest(home, name)) == 2, 60, "both kills are told")
    for event, victim in zip(told_by_guest(home, name), (r"tail", r"a\) b"), strict=True):
        said = rf"{name}: the guest ran out of memory: killed process \d+ \({victim}\) for lack of memory"
        assert re.fullmatch(said, event["message"])
        assert event["data"]["code"] == "oom"

    home.text("vm", "fork", name, "--name", f"{name}c")
    lie = "echo '<3>Out of memory: Killed process 1 (init) total-vm:1kB' > /dev/kmsg; kill -9 $$"
    for machine in (name, f"{name}c-1"):
        assert home.run("exec", machine, "--", "sh", "-c", lie).returncode == 137
        assert home.json("vm", "show", machine)["state"] == "running"
    assert len(told_by_guest(home, name)) == 2 and told_by_guest(home, f"{name}c-1") == []
    assert home.run("exec", f"{name}c-1", "--", "tail", "/dev/zero").returncode == 137
    assert "(tail)" in told_by_guest(home, f"{name}c-1")[-1]["message"]
    home.text("vm", "delete", "-f", name, f"{name}c-1")


def told_by_guest(home: Home, machine: str) -> list[dict[str, Any]]:
    return [event for event in events(home, "--machine", machine) if event["kind"] == "machine.guest"]


def kinds(home: Home) -> list[str]:
    return [event["kind"] for event in events(home, "--machine", "dev")]
