"""Events as a person and a program see them."""

from __future__ import annotations

import json
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


def kinds(home: Home) -> list[str]:
    return [event["kind"] for event in events(home, "--machine", "dev")]
