"""The doctor beside a daemon with machines, and after one that was killed."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.support.home import IMAGE, Home, alive, wait_until

pytestmark = pytest.mark.e2e


def examine(home: Home, *words: str) -> dict[str, dict[str, Any]]:
    done = home.run("doctor", "--json", *words)
    return {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}


def test_a_host_with_running_machines_is_well(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    found = examine(own_home)
    assert [finding for finding in found.values() if finding["status"] == "problem"] == []
    for check in ("daemon", "store", "leftovers", "image", "kernel", "trial", "remains"):
        assert found[check]["status"] == "ok", found[check]
    assert str(own_home.daemon_pid()) in found["daemon"]["found"]
    assert found["image"]["found"] == f"{IMAGE} is here"


def test_after_a_killed_daemon_fix_brings_the_next_one_and_machines_go_on(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    pid = own_home.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5, "the daemon is dead")
    found = examine(
        own_home, "--check", "remains", "--check", "daemon", "--check", "leftovers", "--check", "store"
    )
    assert found["remains"]["status"] == found["daemon"]["status"] == "hint"
    assert found["leftovers"]["status"] == found["store"]["status"] == "ok", "a machine that goes on is none"
    done = own_home.run("doctor", "--fix", "--check", "remains", "--check", "daemon", check=True)
    assert b"daemon started" in done.stderr
    assert own_home.daemon_pid() != pid
    assert own_home.text("exec", "calm", "--", "echo", "here") == "here\n"
