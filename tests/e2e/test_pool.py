"""Clones in waiting: there before they are asked for, at no cost but memory, and never anybody's twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.guests import (
    CLOCK_S,
    assert_strangers,
    clock_error_s,
    cpu_ticks,
    facts,
    resource_owners,
    zombies_of,
)
from tests.support.home import IMAGE, Home, alive, open_home, wait_until
from tests.support.pace import allowed_s
from tests.support.shelter import Shelter, delete_machines, open_shelter

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def shelter() -> Iterator[Shelter]:
    with open_shelter(pool=1, own_templates=True) as opened:
        yield opened


@pytest.fixture
def pooled(shelter: Shelter, request: pytest.FixtureRequest) -> Iterator[Home]:
    """One clone waits, and no machine is there."""
    with shelter.lend(request.node, delete_machines) as home:
        if not home.json("template", "list") or not template(home)["ready"]:
            home.run("run", "--rm", IMAGE, "--", "true", check=True)
        wait_ready(home)
        yield home


def template(home: Home) -> dict[str, Any]:
    templates: list[dict[str, Any]] = home.json("template", "list")
    (only,) = templates
    return only


def wait_ready(home: Home) -> None:
    wait_until(lambda: template(home)["ready"] == 1, 30, "a clone waits")


def waiting(home: Home) -> list[int]:
    """Processes of VMMs that are no machine's."""
    taken = {machine["pid"] for machine in home.json("vm", "list")}
    return [pid for pid in home.machine_processes() if pid not in taken]


def test_a_run_takes_the_clone_that_waits_and_another_follows(pooled: Home) -> None:
    (pid,) = waiting(pooled)
    (row,) = [line for line in pooled.text("template", "list").splitlines() if IMAGE in line]
    assert row.split()[-2:] == ["1", "current"]
    pooled.text("run", "-d", "--name", "first", IMAGE)
    shown = pooled.json("vm", "show", "first")
    assert shown["pid"] == pid
    assert shown["origin"] == {"kind": "template", "template": template(pooled)["id"]}
    wait_ready(pooled)
    (next_pid,) = waiting(pooled)
    assert next_pid != pid
    assert pooled.json("vm", "show", "first")["pid"] == pid
    pooled.text("run", "-d", "--name", "second", IMAGE)
    assert pooled.json("vm", "show", "second")["pid"] == next_pid


def test_clones_from_the_pool_are_strangers(pooled: Home) -> None:
    everyone = []
    for number in range(3):
        wait_ready(pooled)
        (pid,) = waiting(pooled)
        pooled.text("run", "-d", "--name", f"one-{number}", IMAGE)
        assert pooled.json("vm", "show", f"one-{number}")["pid"] == pid
        everyone.append(facts(pooled, f"one-{number}"))
    assert_strangers(everyone)
    assert [one["hostname"] for one in everyone] == ["one-0", "one-1", "one-2"]


def test_the_clock_of_one_that_waited_is_right(pooled: Home) -> None:
    (pid,) = waiting(pooled)
    time.sleep(2)
    pooled.text("run", "-d", "--name", "late", IMAGE)
    assert pooled.json("vm", "show", "late")["pid"] == pid
    assert clock_error_s(pooled, "late") < allowed_s(CLOCK_S)


def test_one_that_waits_costs_no_processor(pooled: Home) -> None:
    (pid,) = waiting(pooled)
    before = cpu_ticks(pid)
    time.sleep(3)
    assert cpu_ticks(pid) - before == 0


def test_one_that_was_taken_stops_starts_and_grows_like_any_other(pooled: Home) -> None:
    (pid,) = waiting(pooled)
    pooled.text("run", "-d", "--disk", "6GiB", "--name", "big", IMAGE)
    assert pooled.json("vm", "show", "big")["pid"] == pid
    script = "df -B1 --output=size / | tail -1; echo kept > /root/file"
    assert int(pooled.text("exec", "big", "--", "sh", "-c", script)) > 5.5 * 2**30
    pooled.text("stop", "big")
    pooled.text("start", "big")
    assert pooled.text("exec", "big", "--", "cat", "/root/file") == "kept\n"
    assert "reboot: Power down" in pooled.text(
        "logs", "--console", "big"
    )  # what its first guest said, where it waited


def places_of_waiting(home: Home) -> list[str]:
    """Directories that are no machine's."""
    taken = {m["place"] or m["id"] for m in home.json("vm", "list")}
    return [path.name for path in (home.state / "machines").iterdir() if path.name not in taken]


def test_one_that_was_killed_from_outside_is_nobodys(pooled: Home) -> None:
    (pid,) = waiting(pooled)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5, "it is dead")
    done = pooled.run("run", "-d", "--name", "safe", IMAGE, check=True)
    assert b"warning" not in done.stderr
    assert pooled.json("vm", "show", "safe")["pid"] != pid
    assert pooled.text("exec", "safe", "--", "echo", "well") == "well\n"
    wait_ready(pooled)
    assert len(waiting(pooled)) == 1
    assert zombies_of(pooled.daemon_pid()) == []
    assert len(places_of_waiting(pooled)) == 1


def test_no_clone_waits_after_its_template_was_deleted(pooled: Home) -> None:
    (pid,) = waiting(pooled)
    pooled.text("template", "delete", template(pooled)["id"])
    wait_until(lambda: not alive(pid) and not places_of_waiting(pooled), 10, "it is gone")
    time.sleep(1)
    assert (waiting(pooled), places_of_waiting(pooled), resource_owners(pooled)) == ([], [], set())


def test_one_that_is_being_made_while_its_template_goes_does_not_stay(pooled: Home) -> None:
    for delay_s in (0.0, 0.1, 0.3):
        pooled.run("run", "--rm", IMAGE, "--", "true", check=True)
        time.sleep(delay_s)
        pooled.text("template", "prune", "--all")
        wait_until(lambda: waiting(pooled) == [] and not resource_owners(pooled), 15, "nothing waits")
        time.sleep(0.3)
        assert (waiting(pooled), resource_owners(pooled)) == ([], set())


def test_the_pool_ends_with_the_daemon(pooled: Home) -> None:
    """Whoever is told that it has stopped finds nothing of it any more."""
    (pid,) = waiting(pooled)
    daemon = pooled.daemon_pid()
    pooled.text("system", "stop")
    assert not alive(daemon) and not alive(pid) and pooled.leftovers() == []


def test_a_killed_daemons_pool_is_removed_by_the_next(pooled: Home) -> None:
    (pid,) = waiting(pooled)
    daemon = pooled.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon), 5, "the daemon is dead")
    assert alive(pid)
    assert pooled.json("vm", "list") == []
    wait_until(lambda: not alive(pid), 10, "what waited is gone")
    assert pooled.leftovers() == []
    assert resource_owners(pooled) == set()


def test_where_memory_is_short_none_waits(name: str) -> None:
    with open_home(pool=1, config='reserve = "900TiB"\n') as short:
        short.run("run", "-d", "--name", name, IMAGE, check=True)
        short.run("run", "--rm", IMAGE, "--", "true", check=True)
        time.sleep(1)
        assert all(each["ready"] == 0 for each in short.json("template", "list"))
        assert short.machine_processes() == [short.json("vm", "show", name)["pid"]]
