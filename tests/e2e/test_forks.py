"""Forks: children go on where the parent was, each as somebody else; the parent notices nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.guests import (
    CLOCK_S,
    COUNTER,
    address_in_guest,
    assert_counts_on,
    assert_strangers,
    clock_error_s,
    count_of,
    echo_client,
    echo_server,
    facts,
)
from tests.support.home import IMAGE, Home, wait_until
from tests.support.pace import allowed_s

pytestmark = pytest.mark.e2e


@pytest.fixture
def parent(home: Home, name: str) -> Iterator[str]:
    """A machine that counts; it and its children are gone afterwards."""
    home.text("run", "-d", "--name", name, IMAGE)
    begin_to_count(home, name)
    yield name
    remove_family(home, name)


@pytest.fixture
def family(home: Home, name: str) -> Iterator[str]:
    """A name for machines that are gone afterwards."""
    yield name
    remove_family(home, name)


def remove_family(home: Home, name: str) -> None:
    machines = [machine["id"] for machine in home.json("vm", "list") if machine["name"].startswith(name)]
    if machines:
        home.run("rm", "-f", *machines, check=True)


def begin_to_count(home: Home, machine: str) -> None:
    home.text("exec", "-d", machine, "--", "sh", "-c", COUNTER)
    wait_until(
        lambda: home.run("exec", machine, "--", "test", "-s", "/dev/shm/count").returncode == 0,
        20,
        "it counts",
    )


def fork(home: Home, machine: str, *words: str) -> list[str]:
    return home.text("vm", "fork", *words, machine).split()


def write(home: Home, machine: str, text: str) -> None:
    home.text("exec", machine, "--", "sh", "-c", f"echo {text} | tee /root/who > /dev/shm/who; sync")


def read(home: Home, machine: str) -> list[str]:
    return home.text("exec", machine, "--", "cat", "/root/who", "/dev/shm/who").split()


def test_a_child_goes_on_with_memory_and_disk(home: Home, parent: str) -> None:
    write(home, parent, "both")
    before = count_of(home, parent)
    (child,) = fork(home, parent)
    assert child == f"{parent}-1"
    shown = home.json("vm", "show", child)
    assert (shown["state"], shown["origin"]) == ("running", {"kind": "fork", "machine": parent})
    assert_counts_on(home, child, before)
    assert count_of(home, child, "/root/count") >= before
    assert_counts_on(home, parent, before)
    assert read(home, child) == ["both", "both"]
    write(home, child, "child")
    assert read(home, parent) == ["both", "both"]
    write(home, parent, "parent")
    assert (read(home, child), read(home, parent)) == (["child", "child"], ["parent", "parent"])
    assert_strangers([facts(home, parent), facts(home, child)])
    assert facts(home, child)["hostname"] == child
    assert facts(home, child)["address"] == address_in_guest(shown)
    for machine in (parent, child):
        assert clock_error_s(home, machine) < allowed_s(CLOCK_S)


def test_five_children_are_strangers_and_outlive_the_parent(home: Home, parent: str) -> None:
    before = count_of(home, parent)
    children = fork(home, parent, "--count", "5", "--name", f"{parent}-child")
    assert children == [f"{parent}-child-{number}" for number in range(1, 6)]
    assert_strangers([facts(home, machine) for machine in (parent, *children)])
    home.text("rm", "-f", parent)
    for child in children[:2]:
        assert_counts_on(home, child, before)
    script = "cat /usr/bin/* 2>/dev/null | wc -c"
    assert int(home.text("exec", children[2], "--", "sh", "-c", script)) > 10 << 20
    write(home, children[3], "kept")
    home.text("stop", children[3])
    home.text("start", children[3])
    assert home.text("exec", children[3], "--", "cat", "/root/who") == "kept\n"
    home.run("rm", "-f", *children, check=True)
    assert list((home.state / "snapshots").iterdir()) == []


def test_a_name_that_is_taken_is_passed_over(home: Home, parent: str) -> None:
    home.text("vm", "create", "--name", f"{parent}-2", IMAGE)
    assert fork(home, parent, "--count", "2") == [f"{parent}-1", f"{parent}-3"]


def test_a_fork_can_be_forked_and_both_start_again(home: Home, parent: str) -> None:
    write(home, parent, "first")
    before = count_of(home, parent)
    (child,) = fork(home, parent)
    write(home, child, "second")
    (grandchild,) = fork(home, child)
    assert_counts_on(home, grandchild, before)
    assert read(home, grandchild) == ["second", "second"]
    assert_strangers([facts(home, machine) for machine in (parent, child, grandchild)])
    home.text("rm", "-f", child)
    for machine, kept in ((parent, "first"), (grandchild, "second")):
        home.text("stop", machine)
        home.text("start", machine)
        assert home.text("exec", machine, "--", "cat", "/root/who") == f"{kept}\n"


def test_a_machine_that_was_booted_can_be_forked(home: Home, family: str) -> None:
    home.text("run", "-d", "--cold", "--name", family, IMAGE)
    begin_to_count(home, family)
    before = count_of(home, family)
    children = fork(home, family, "--count", "2")
    for machine in (*children, family):
        assert_counts_on(home, machine, before)
    assert_strangers([facts(home, machine) for machine in (family, *children)])


def test_a_paused_machine_stays_paused_and_its_child_runs(home: Home, parent: str) -> None:
    home.text("vm", "pause", parent)
    (child,) = fork(home, parent)
    assert home.json("vm", "show", parent)["state"] == "paused"
    assert home.json("vm", "show", child)["state"] == "running"
    assert_counts_on(home, child, 1)
    assert clock_error_s(home, child) < allowed_s(CLOCK_S)
    home.text("vm", "resume", parent)
    assert_counts_on(home, parent, 1)
    assert clock_error_s(home, parent) < allowed_s(CLOCK_S)


def test_a_connection_is_reset_in_the_child_and_goes_on_in_the_parent(home: Home, parent: str) -> None:
    with echo_server() as echo:
        shown = home.json("vm", "show", parent)
        if shown["network"]["link"] == "tap":
            home.text("vm", "network", "--allow", f"host.banger.internal:{echo.port}", parent)
        home.text("exec", "-d", parent, *echo_client(shown, echo.port))
        wait_until(lambda: echo.received and echo.received[0] > 3, 20, "it is connected")
        (child,) = fork(home, parent)
        lost = ("exec", child, "--", "cat", "/dev/shm/lost")
        wait_until(lambda: home.run(*lost).stdout.startswith(b"lost: "), 20, "the child has lost it")
        before = echo.received[0]
        wait_until(lambda: echo.received[0] > before + 5, 20, "the parent's goes on")
        assert echo.ended == [False]
        assert home.run("exec", parent, "--", "test", "-e", "/dev/shm/lost").returncode == 1
        home.text("exec", "-d", child, *echo_client(shown, echo.port))
        wait_until(lambda: len(echo.received) == 2 and echo.received[1] > 3, 20, "the child can connect anew")


def test_children_have_the_main_command_and_end_with_it(home: Home, family: str) -> None:
    script = (
        "i=0; while [ ! -e /dev/shm/end ]; do i=$((i+1)); echo line $i; sleep 0.1; done; echo over; exit 7"
    )
    home.text("run", "-d", "--name", family, IMAGE, "--", "sh", "-c", script)
    wait_until(lambda: "line 5" in home.text("logs", "--exec", family), 20, "it says something")
    (child,) = fork(home, family)
    home.text("exec", child, "--", "touch", "/dev/shm/end")
    assert home.text("vm", "wait", child).strip() == "7"
    shown = home.json("vm", "show", child)
    assert (shown["state"], shown["exit"]["code"]) == ("stopped", 7)
    said = home.text("logs", "--exec", child).splitlines()
    assert said[-1] == "over" and said[-2].startswith("line ")
    numbers = [int(line.split()[1]) for line in said[:-1]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert home.json("vm", "show", family)["state"] == "running"
    home.text("exec", family, "--", "touch", "/dev/shm/end")
    assert home.text("vm", "wait", family).strip() == "7"


def test_a_fork_that_fails_leaves_nothing(home: Home, family: str) -> None:
    """The tenth name is too long."""
    long = f"{family}-".ljust(61, "x")
    home.text("run", "-d", "--name", long, IMAGE)
    done = home.run("vm", "fork", "--count", "10", long)
    assert done.returncode == 2 and b"bad name" in done.stderr, done.stderr
    assert [m["name"] for m in home.json("vm", "list") if m["name"].startswith(family)] == [long]
    assert list((home.state / "snapshots").iterdir()) == []
    assert home.text("exec", long, "--", "echo", "well") == "well\n"


def test_a_fork_that_is_cancelled_leaves_nothing(home: Home, parent: str) -> None:
    for delay_s in (0.1, 0.5, 1.0):
        forking = home.popen("vm", "fork", "--count", "6", parent)
        time.sleep(delay_s)
        forking.terminate()
        forking.wait(30)
        if forking.returncode == 0:
            break
        wait_until(lambda: list((home.state / "snapshots").iterdir()) == [], 20, "nothing half is left")
        names = [m["name"] for m in home.json("vm", "list") if m["name"].startswith(f"{parent}-")]
        assert len(names) in (0, 6)
        if names:
            break
    assert_counts_on(home, parent, 1)


def test_only_what_runs_can_be_forked(home: Home, family: str) -> None:
    home.text("vm", "create", "--name", family, IMAGE)
    done = home.run("vm", "fork", family)
    assert done.returncode == 125 and b"created" in done.stderr
    assert home.run("vm", "fork", f"{family}-none").returncode == 125
    home.text("start", family)
    home.text("stop", family)
    assert b"stopped" in home.run("vm", "fork", family).stderr
