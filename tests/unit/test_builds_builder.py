"""Which machine builds what: a context has one of its own, which no other build uses at the same time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from banger.builds.builder import LABEL, Size, open_builder, prune
from banger.client.call import Call
from banger.client.messages import Json


class Recorder:
    """Answers calls as a daemon with `machines` would. `said` has method and target of each call."""

    def __init__(self, *machines: Json) -> None:
        self.machines = [*machines]
        self.said: list[str] = []
        self.warned: list[str] = []

    def call(self, call: Call[object]) -> object:
        if call.method == "GET":
            return self.machines
        self.said.append(f"{call.method} {call.target}".removeprefix("POST "))
        if call.target == "/v1/machines":
            body: Any = call.body
            self.machines.append({"name": body["name"], "state": "created", "spec": body})
        return {}

    def finish(self, call: Call[object]) -> Json:
        self.call(call)
        return {}

    def open(self, call: Call[object]) -> Any:
        raise AssertionError(call.target)

    def stream(self, target: str, request: Json) -> Any:
        raise AssertionError(target)

    def show(self, output: bytes | memoryview) -> None:
        raise AssertionError(output)

    def say(self, what: str) -> None:
        raise AssertionError(what)

    def warn(self, what: str) -> None:
        self.warned.append(what)


@contextmanager
def built(directory: Path) -> Iterator[None]:
    """Another process builds this context."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def build(hands: Recorder, directory: str, network: str = "", fresh: bool = False) -> str:
    with open_builder(hands, directory, Size(network=network), fresh) as name:
        return name


def test_a_context_finds_its_machine_again_and_leaves_it_stopped(tmp_path: Path) -> None:
    hands = Recorder()
    name = build(hands, str(tmp_path))
    hands.machines[0]["state"] = "stopped"
    hands.said.clear()
    assert build(hands, str(tmp_path)) == name
    assert hands.said == [
        f"/v1/machines/{name}/update",
        f"/v1/machines/{name}/start",
        f"/v1/machines/{name}/stop",
    ]


def test_contexts_and_networks_share_no_machine(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    hands = Recorder()
    names = {build(hands, str(tmp_path / word), network) for word in "ab" for network in ("", "none")}
    assert len(names) == 4
    asked: list[Any] = [one["spec"] for one in hands.machines]
    assert [spec.get("network", "") for spec in asked] == ["", "none"] * 2


def test_two_builds_at_once_share_no_machine(tmp_path: Path) -> None:
    hands = Recorder()
    kept = build(hands, str(tmp_path))
    with built(tmp_path):
        other = build(hands, str(tmp_path))
        assert prune(hands) == []
    assert other != kept and hands.warned and hands.said[-1] == f"DELETE /v1/machines/{other}?force=true"
    assert prune(hands) == [kept]


def test_no_cache_begins_with_a_machine_that_no_dockerfile_has_touched(tmp_path: Path) -> None:
    hands = Recorder()
    name = build(hands, str(tmp_path))
    hands.said.clear()
    build(hands, str(tmp_path), fresh=True)
    assert hands.said[:2] == [f"DELETE /v1/machines/{name}?force=true", "/v1/machines"]


def test_a_machine_whose_client_was_killed_is_stopped_first(tmp_path: Path) -> None:
    hands = Recorder()
    name = build(hands, str(tmp_path))
    hands.machines[0]["state"] = "running"
    hands.said.clear()
    build(hands, str(tmp_path))
    assert hands.said[0] == f"/v1/machines/{name}/stop"


def test_forks_and_machines_of_others_are_not_pruned(tmp_path: Path) -> None:
    hands = Recorder()
    name = build(hands, str(tmp_path))
    fork = {**hands.machines[0], "name": f"{name}-1"}
    hands.machines += [fork, {"name": "web", "state": "running", "spec": {"labels": {}}}]
    assert prune(hands) == [name]


def test_a_machine_of_that_name_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    hands = Recorder()
    build(hands, str(tmp_path))
    hands.machines[0]["spec"] = {"labels": {LABEL: "/elsewhere"}}
    with pytest.raises(Exception, match="not one of"):
        build(hands, str(tmp_path))
