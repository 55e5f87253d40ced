"""A daemon whose store was hurt while it was away: it comes back, says what is lost, and ends no machine."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from banger import Client
from tests.support.home import IMAGE, Home, alive, wait_until

pytestmark = pytest.mark.e2e
PAGE = 4096


@contextmanager
def without_daemon(home: Home, signo: signal.Signals = signal.SIGKILL) -> Iterator[sqlite3.Connection]:
    """The store, while nobody has it open."""
    pid = home.daemon_pid()
    os.kill(pid, signo)
    wait_until(lambda: not alive(pid), 15, "the daemon is gone")
    with closing(sqlite3.connect(home.state / "banger.db")) as store:
        yield store
        store.commit()


def told(home: Home) -> list[str]:
    events = map(json.loads, home.text("events", "--json").splitlines())
    return [event["message"] for event in events if event["kind"] == "store.damaged"]


def test_a_machine_whose_record_is_garbage_goes_on_and_its_name_is_free(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "dev", IMAGE)
    processes = own_home.machine_processes()
    with without_daemon(own_home) as store:
        store.execute("UPDATE machines SET record = x'00ff' WHERE name = 'dev'")
    assert own_home.json("vm", "list") == []
    assert own_home.machine_processes() == processes
    first, second = own_home.json("system", "info")["store_damage"]
    assert "'dev' in machines cannot be read" in first
    assert f"process {processes[0]}" in second
    assert len(told(own_home)) == 2
    assert "store damage: " in own_home.text("system", "info")
    own_home.text("vm", "create", "--name", "dev", IMAGE)
    leftovers = own_home.json("system", "reconcile")["leftovers"]
    of_a_tap = set() if own_home.json("system", "info")["no_taps"] else {"tap", "passage"}
    assert {leftover["kind"] for leftover in leftovers} - {"cgroup"} == {"process", "directory", *of_a_tap}
    removed = own_home.json("system", "reconcile", "--remove")["leftovers"]
    assert removed == [{**leftover, "removed": True} for leftover in leftovers]
    assert own_home.machine_processes() == []
    assert not any(Path(left["what"]).exists() for left in removed if left["kind"] == "cgroup")


def test_a_machine_is_taken_over_whose_vmm_is_not_recorded_any_more(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "dev", IMAGE)
    processes = own_home.machine_processes()
    with without_daemon(own_home) as store:
        store.execute("DELETE FROM resources")
    assert own_home.json("vm", "show", "dev")["state"] == "running"
    wait_until(lambda: own_home.run("exec", "dev", "--", "true").returncode == 0, 30, "it answers")
    assert own_home.machine_processes() == processes
    own_home.text("vm", "stop", "dev")
    assert own_home.machine_processes() == []


def test_a_machine_that_an_older_store_calls_stopped_goes_on_through_a_reconcile(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "dev", IMAGE)
    groups = own_home.control_groups()
    own_home.text("vm", "stop", "dev")
    end_daemon(own_home)
    older = {path: path.read_bytes() for path in own_home.state.glob("banger.db*")}
    own_home.text("vm", "start", "dev")
    processes = own_home.machine_processes()
    end_daemon(own_home)
    for path in own_home.state.glob("banger.db*"):
        path.unlink()
    for path, data in older.items():
        path.write_bytes(data)
    assert own_home.json("vm", "show", "dev")["state"] == "running"
    wait_until(lambda: own_home.run("exec", "dev", "--", "true").returncode == 0, 30, "it answers")
    own_home.text("system", "reconcile", "--remove")
    assert own_home.text("exec", "dev", "--", "echo", "here") == "here\n"
    assert own_home.machine_processes() == processes
    own_home.text("vm", "delete", "-f", "dev")
    assert not any(group.exists() for group in groups)


def end_daemon(home: Home) -> None:
    pid = home.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5, "the daemon is dead")


def test_a_store_with_a_page_of_zeros_keeps_the_other_machines(own_home: Home) -> None:
    own_home.json("system", "info")
    client = Client(own_home.json("system", "info")["socket"], start=False)
    made = {client.machines.create(IMAGE).name for _ in range(200)}
    with without_daemon(own_home, signal.SIGTERM) as store:
        (count,) = store.execute("SELECT count(*) FROM machines").fetchone()
        assert count == 200
    path = own_home.state / "banger.db"
    content = bytearray(path.read_bytes())
    leaves = [page for page in range(len(content) // PAGE) if content[page * PAGE] == 0x0D]
    hurt = max(leaves, key=lambda page: content[page * PAGE : (page + 1) * PAGE].count(b'"memory_mib"'))
    content[hurt * PAGE : (hurt + 1) * PAGE] = bytes(PAGE)
    path.write_bytes(content)
    left = {machine["name"] for machine in own_home.json("vm", "list")}
    assert left < made and len(left) > 180
    (damage,) = own_home.json("system", "info")["store_damage"]
    assert all(name in damage for name in made - left)
    assert told(own_home) == [damage.partition(": ")[2]]
    assert own_home.text("run", "--rm", IMAGE, "--", "echo", "works") == "works\n"
    assert len(list(own_home.state.glob("banger.db.damaged-*"))) == 1


def test_a_store_that_is_no_database_is_begun_anew_and_kept(own_home: Home) -> None:
    own_home.text("vm", "create", "--name", "dev", IMAGE)
    with without_daemon(own_home, signal.SIGTERM):
        pass
    (own_home.state / "banger.db").write_bytes(b"not a database at all " * 1000)
    assert own_home.json("vm", "list") == []
    assert "file is not a database" in own_home.json("system", "info")["store_damage"][0]
    assert len(list(own_home.state.glob("banger.db.damaged-*"))) == 1
