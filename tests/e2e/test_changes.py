"""Machines that exist and are changed: rename, update, reset."""

from __future__ import annotations

import json

import pytest

from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e


def test_a_machine_keeps_all_but_its_name(own_home: Home) -> None:
    """Its disk, its snapshots, its place on a network, its main command."""
    own_home.text("network", "create", "shop")
    for name in ("one", "two"):
        own_home.text("run", "-d", "--name", name, "--network", "shop", IMAGE, "sleep", "600")
    own_home.text("exec", "one", "sh", "-c", "echo kept > /kept")
    own_home.text("snapshot", "one", "before")
    own_home.text("rename", "one", "first")
    assert own_home.text("exec", "first", "cat", "/kept") == "kept\n"
    found = own_home.text("exec", "two", "getent", "hosts", "first")
    assert found.split()[1:] == ["first.shop"] or "first" in found
    assert own_home.run("exec", "two", "getent", "hosts", "one").returncode != 0
    assert json.loads(own_home.text("snapshot", "list", "--json"))[0]["machine"] == "first"
    assert own_home.run("rename", "two", "first").returncode != 0
    own_home.text("system", "restart")
    assert own_home.text("exec", "first", "cat", "/kept") == "kept\n"
    own_home.text("restore", "first", "before")
    own_home.text("rm", "-f", "first", "two")


def test_a_reset_machine_is_as_it_was_made(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "dev", IMAGE, "sleep", "600")
    address = json.loads(own_home.text("vm", "show", "--json", "dev"))["address"]
    own_home.text("exec", "dev", "sh", "-c", "echo mine > /mine; rm /etc/hostname")
    refused = own_home.run("reset", "dev")
    assert refused.returncode != 0 and "--force" in refused.stderr.decode()
    own_home.text("reset", "-f", "dev")
    own_home.text("start", "dev")
    assert (
        own_home.text("exec", "dev", "sh", "-c", "test ! -e /mine && test -e /etc/hostname && echo fresh")
        == "fresh\n"
    )
    assert json.loads(own_home.text("vm", "show", "--json", "dev"))["address"] == address
    own_home.text("exec", "dev", "sh", "-c", "echo again > /again")
    own_home.text("restart", "-t", "1", "dev")
    assert own_home.text("exec", "dev", "cat", "/again") == "again\n", "a reset is over with the next start"
    own_home.text("rm", "-f", "dev")


def test_what_a_machine_was_made_with_can_change(own_home: Home) -> None:
    own_home.text("create", "--name", "dev", "-l", "a=1", "-l", "b=2", IMAGE, "sleep", "600")
    own_home.text(
        "update", "-m", "256m", "-c", "2", "--restart", "always", "-l", "a=3", "--label-rm", "b", "dev"
    )
    own_home.text("start", "dev")
    spec = json.loads(own_home.text("vm", "show", "--json", "dev"))["spec"]
    assert (spec["memory_mib"], spec["cpus"], spec["restart"], spec["labels"]) == (
        256,
        2,
        "always",
        {"a": "3"},
    )
    assert own_home.text("exec", "dev", "nproc") == "2\n"
    refused = own_home.run("update", "-m", "512m", "dev")
    assert refused.returncode != 0 and "--memory of a running machine" in refused.stderr.decode()
    own_home.text("update", "--iops-limit", "500", "--ttl", "1h", "dev")
    assert "iops" in json.loads(own_home.text("vm", "show", "--json", "dev"))["limits"]
    own_home.text("rm", "-f", "dev")


def test_a_root_for_reading_and_limits_hold_from_the_first_command_on(own_home: Home) -> None:
    """Also of later commands, after a restart, and in a fork, which writes its own name."""
    flags = ["--read-only", "--tmpfs", "/cache:size=1m,exec", "--ulimit", "nofile=64:128"]
    own_home.text("run", "-d", "--name", "dev", *flags, IMAGE, "sleep", "600")
    tried = "touch /x 2>/dev/null && echo root; touch /cache/x /run/x /dev/shm/x && echo cache; ulimit -n; ulimit -Hn"
    assert own_home.text("exec", "dev", "sh", "-c", tried).split() == ["cache", "64", "128"]
    full = "head -c 2M /dev/zero > /cache/y && exit 1; rm /cache/y"
    own_home.text("exec", "dev", "sh", "-c", full)
    own_home.text("exec", "dev", "sh", "-c", "echo kept > /cache/x")
    own_home.text("fork", "dev")
    assert own_home.text("exec", "dev-1", "cat", "/cache/x", "/etc/hostname").split() == ["kept", "dev-1"]
    assert own_home.text("exec", "dev-1", "sh", "-c", tried).split() == ["cache", "64", "128"]
    own_home.text("restart", "-t", "1", "dev")
    assert own_home.text("exec", "dev", "sh", "-c", tried).split() == ["cache", "64", "128"]
    own_home.text("rm", "-f", "dev", "dev-1")
