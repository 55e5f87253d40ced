"""Beside the image's init the agent is a process that root in the guest may kill: another one comes in its place."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from banger.machines.life.sessions import AGENT_RESTARTED
from tests.support.home import IMAGE, Home, alive, wait_until

pytestmark = pytest.mark.e2e

# By its name in /proc: an image need not have a pkill.
_SEND = (
    "for p in /proc/[0-9]*; do read name < $p/comm; [ $name = banger-agent ] && kill -{} ${{p#/proc/}}; done"
)
KILL, STOP = _SEND.format("KILL"), _SEND.format("STOP")


@pytest.fixture
def guest(home: Home, name: str) -> Iterator[str]:
    """With an init of its own and a command; a clone of a template, as all but the first are."""
    words = ("run", "-d", "--init", "image", "--name", name, "--memory", "768MiB", IMAGE)
    home.text(*words, "--", "sleep", "600")
    yield name
    home.text("rm", "-f", name)


def kill_agent(home: Home, name: str) -> None:
    done = home.run("exec", name, "--", "sh", "-c", KILL)
    assert done.returncode == 125 and b"started again" in done.stderr, done.stderr


def assert_all_works(home: Home, name: str) -> None:
    assert home.text("exec", name, "--", "hostname") == f"{name}\n"
    assert home.run("exec", "-i", name, "--", "cat", stdin=b"in and out").stdout == b"in and out"
    home.text("cp", __file__, f"{name}:/tmp/copy")
    assert all(home.json("vm", "health", name)[part]["ok"] for part in ("agent", "init", "clock", "vmm"))


def test_a_killed_agent_is_started_again_and_what_it_had_started_is_lost(home: Home, guest: str) -> None:
    detached = home.text("exec", "-d", guest, "--", "sleep", "599").strip()
    kill_agent(home, guest)
    assert_all_works(home, guest)
    lost = {str(e["id"]): e for e in home.json("vm", "execs", guest) if "sleep" in e["argv"]}
    assert detached in lost and len(lost) == 2
    assert not any(e["running"] or e["exit"] for e in lost.values())
    assert "lost, main" in home.text("vm", "execs", guest)
    waited = home.run("vm", "wait", "--exec", detached, guest)
    assert waited.returncode == 125 and b"earlier commands keep running" in waited.stderr
    assert home.text("exec", guest, "--", "sh", "-c", "grep -l '^sleep$' /proc/[0-9]*/comm | wc -l") == "2\n"
    assert home.json("vm", "show", guest)["warnings"] == [AGENT_RESTARTED]
    events = home.text("events", "--machine", guest)
    assert events.count("the agent was killed and started again") == 1
    home.text("vm", "pause", guest)
    home.text("vm", "resume", guest)
    assert_all_works(home, guest)
    home.text("stop", guest)
    assert home.json("vm", "show", guest)["reason"] == "stopped as asked"


def test_copies_of_a_machine_whose_agent_was_killed_are_somebody_else(home: Home, guest: str) -> None:
    kill_agent(home, guest)
    home.text("vm", "fork", guest, "--name", f"{guest}-child")
    child = f"{guest}-child-1"
    try:
        assert_all_works(home, child)
        addresses = home.text("exec", child, "--", "sh", "-c", "ip -4 -o addr show scope global").splitlines()
        assert len(addresses) == 1 and home.json("vm", "show", child)["address"] in addresses[0]
        kill_agent(home, child)
        assert_all_works(home, child)
    finally:
        home.text("rm", "-f", child)


def test_a_snapshot_of_a_machine_whose_agent_was_killed_is_restored(home: Home, guest: str) -> None:
    """The machine itself goes back, with the agent that had come in the place of the first; and so does it after
    another one was killed."""
    kill_agent(home, guest)
    home.text("exec", guest, "--", "sh", "-c", "echo before > /root/file; sync")
    later = home.text("exec", "-d", guest, "--", "sleep", "598").strip()
    home.text("vm", "snapshot", guest, "kept")
    try:
        for kill in (False, True):
            home.text("exec", guest, "--", "sh", "-c", "echo after > /root/file")
            if kill:
                kill_agent(home, guest)
            home.text("vm", "restore", guest, "kept")
            assert_all_works(home, guest)
            assert home.text("exec", guest, "--", "cat", "/root/file") == "before\n"
            running = [str(e["id"]) for e in home.json("vm", "execs", guest) if e["running"]]
            assert running == [later]
    finally:
        home.text("snapshot", "rm", guest, "kept")


def test_an_agent_that_was_killed_while_no_daemon_ran_is_noticed_by_the_next(home: Home, guest: str) -> None:
    home.text("exec", "-d", guest, "--", "sh", "-c", f"sleep 2; {KILL}; touch /tmp/done")
    daemon = home.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon), 5, "the daemon is dead")
    wait_until(lambda: home.run("exec", guest, "--", "test", "-e", "/tmp/done").returncode == 0, 30, "a kill")
    assert_all_works(home, guest)
    assert home.json("vm", "show", guest)["warnings"] == [AGENT_RESTARTED]
    kill_agent(home, guest)
    assert_all_works(home, guest)


def test_a_guest_that_kills_its_agent_again_and_again_is_reached_when_it_stops(
    home: Home, guest: str
) -> None:
    loop = f"n=0; while [ $n -lt 15 ]; do {KILL}; n=$((n+1)); sleep 0.2; done"
    # A process may end between the list and the look at it. The pipe for what the shell says of that ends with the
    # first agent, and would end the shell.
    home.text("exec", "-d", guest, "--", "setsid", "sh", "-c", f"exec 2>/dev/null; {loop}; touch /tmp/done")
    wait_until(lambda: home.run("exec", guest, "--", "test", "-e", "/tmp/done").returncode == 0, 60, "an end")
    assert_all_works(home, guest)
    assert home.text("events", "--machine", guest).count("the agent was killed") < 20


def test_a_run_whose_agent_is_killed_ends_and_leaves_nothing_with_rm(home: Home, name: str) -> None:
    words = ("run", "--rm", "--init", "image", "--name", name, "--memory", "768MiB", IMAGE)
    done = home.run(*words, "--", "sh", "-c", KILL)
    assert done.returncode == 125 and b"started again" in done.stderr
    assert name not in home.text("vm", "list")


def test_a_stopped_agent_goes_on(home: Home, guest: str) -> None:
    for _ in range(3):
        assert home.run("exec", guest, "--", "sh", "-c", STOP + "; exit 3").returncode == 3
    assert_all_works(home, guest)
    assert home.json("vm", "show", guest)["warnings"] == []


def test_a_guest_that_kills_the_keeper_too_is_told_of_and_can_be_stopped(home: Home, guest: str) -> None:
    waiting = home.popen("exec", guest, "--", "sh", "-c", "sleep 1; kill -KILL -1", stderr=subprocess.PIPE)
    wait_until(lambda: home.run("vm", "health", guest).returncode == 1, 15, "nobody answers")
    health = home.run("vm", "health", guest).stdout
    assert b"agent  not ok" in health and b"VMM    ok" in health
    done = home.run("exec", "--timeout", "1s", guest, "--", "true")
    assert done.returncode in (124, 125) and b"did not answer" in done.stderr
    _, said = waiting.communicate(timeout=120)
    assert waiting.returncode == 125 and b"no process" in said and b"banger vm stop" in said
    home.text("stop", guest)
    assert home.json("vm", "show", guest)["reason"] == "stopped as asked"
