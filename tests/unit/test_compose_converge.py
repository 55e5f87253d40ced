"""Projects become what their file says, by calls of the API, and go by what the records say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from banger.client.call import Call
from banger.compose import converge
from banger.compose.converge import Up, down, look, look_settled, restart, stop
from banger.compose.loading import Asked, load_project
from banger.compose.plan import plan_up
from banger.compose.project import Project
from banger.errors import Error

SHOP = """
services:
  web:
    image: debian
    scale: 2
    ports: ["8080-8081:80"]
    depends_on: {db: {condition: service_healthy}, init: {condition: service_completed_successfully}}
  db: {image: debian, healthcheck: {test: "true"}, labels: {a: b}}
  init: {image: debian}
"""


class Host:
    """The daemon, as far as projects use it: machines, networks and secrets by name. `log` has what changed, in order;
    `on_start` says how a machine is after its start; `dies_after` calls that change something, the client ends."""

    def __init__(self) -> None:
        self.machines: dict[str, dict[str, Any]] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}
        self.values: dict[str, bytes] = {}
        self.log: list[str] = []
        self.said: list[str] = []
        self.on_start: Callable[[dict[str, Any]], None] = _becomes_right
        self.dies_after: int | None = None

    def call(self, call: Call[object]) -> object:
        path, _, query = call.target.partition("?")
        words = [unquote(word) for word in path.split("/")[2:]]
        if call.method == "GET" and len(words) == 1:
            return [*getattr(self, words[0]).values()]
        if self.dies_after == 0:
            raise KeyboardInterrupt
        self.dies_after = None if self.dies_after is None else self.dies_after - 1
        body: Any = call.body
        if words[0] == "secrets":
            return self._secret(call.method, words[1], body, query)
        if words[0] == "networks":
            return self._network(call.method, words, body)
        return self._machine(call.method, words, body, query)

    def _network(self, method: str, words: list[str], body: Any) -> object:
        if method == "POST":
            self.networks[body["name"]] = body
            self.log.append(f"network {body['name']}")
        else:
            on_it = [
                m
                for m in self.machines.values()
                for n in m["spec"].get("networks", ())
                if n["network"] == words[1]
            ]
            if on_it:
                raise Error("in_use", "machines are on it")
            del self.networks[words[1]]
            self.log.append(f"no network {words[1]}")
        return None

    def _secret(self, method: str, name: str, body: Any, query: str) -> object:
        if method == "PUT":
            labels = dict(word.split("=", 1) for word in parse_qs(query)["label"])
            self.secrets[name] = {"name": name, "labels": labels}
            self.values[name] = b"".join(body.pieces)
            self.log.append(f"set {name}")
        else:
            del self.secrets[name]
            self.log.append(f"no secret {name}")
        return None

    def _machine(self, method: str, words: list[str], body: Any, query: str) -> object:
        if method == "POST" and len(words) == 1:
            self.machines[body["name"]] = {"name": body["name"], "state": "created", "spec": body}
            self.log.append(f"make {body['name']}")
            return None
        machine = self.machines[words[1]]
        if method == "DELETE":
            assert query == "force=true"
            del self.machines[words[1]]
            self.log.append(f"delete {words[1]}")
        else:
            self.log.append(f"{words[2]} {words[1]}")
            if words[2] == "start":
                machine["state"] = "running"
                self.on_start(machine)
            elif words[2] == "stop":
                machine |= {"state": "stopped", "health": ""}
        return {"id": "op"}

    def finish(self, operation: object, what: str) -> None:
        assert operation == {"id": "op"}

    def say(self, target: str, what: str) -> None:
        self.said.append(f"{target}: {what}")

    def warn(self, what: str) -> None:
        self.said.append(what)


def _becomes_right(machine: dict[str, Any]) -> None:
    if "-db-" in machine["name"]:
        machine["health"] = "healthy"
    if "-init-" in machine["name"]:
        machine |= {"state": "stopped", "exit": {"code": 0}}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converge, "_LOOK_EVERY_S", 0.001)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Project]:
    def load(text: str = SHOP, **asked: Any) -> Project:
        (tmp_path / "compose.yaml").write_text(text)
        return load_project(Asked(directory=str(tmp_path), **{"name": "shop", **asked}))

    return load


def up(host: Host, project: Project, **options: bool) -> list[str]:
    """What `up` changed."""
    host.log.clear()
    plan = plan_up(project, look(host, project.name), force=options.pop("force", False))
    Up(host, project, limit_s=5).carry_out(plan, **{"remove_orphans": False, "wait": False, **options})
    return [*host.log]


def test_all_is_made_in_the_order_of_dependencies_and_nothing_the_second_time(
    host: Host, read: Callable[..., Project]
) -> None:
    changed = up(host, read())
    assert changed[0] == "network shop-default"
    assert sorted(changed[1:5]) == [
        "make shop-db-1",
        "make shop-init-1",
        "start shop-db-1",
        "start shop-init-1",
    ]
    assert changed[5:] == ["make shop-web-1", "make shop-web-2", "start shop-web-1", "start shop-web-2"]
    assert host.machines["shop-web-2"]["spec"]["ports"] == ["127.0.0.1:8081:80/tcp"]
    host.on_start(host.machines["shop-init-1"])
    assert up(host, read()) == ["start shop-init-1"]  # it has ended, as after every run


def test_only_what_changed_is_made_again(host: Host, read: Callable[..., Project]) -> None:
    up(host, read())
    changed = up(host, read(SHOP.replace("labels: {a: b}", "labels: {a: c}")))
    assert changed[:3] == ["stop shop-db-1", "delete shop-db-1", "make shop-db-1"]
    assert sorted(changed[3:]) == ["start shop-db-1", "start shop-init-1"]
    assert "make shop-web-1" in up(host, read(), force=True)


def test_surplus_machines_go_and_orphans_stay_until_asked(host: Host, read: Callable[..., Project]) -> None:
    up(host, read())
    assert {"stop shop-web-2", "delete shop-web-2"} <= {*up(host, read(scale={"web": 1}))}
    less = "services:\n  db: {image: debian, healthcheck: {test: 'true'}, labels: {a: b}}\n"
    assert up(host, read(less)) == []
    assert any("shop-init-1 shop-web-1" in said and "--remove-orphans" in said for said in host.said)
    up(host, read(less), remove_orphans=True)
    assert [*host.machines] == ["shop-db-1"]


def test_services_that_were_not_chosen_are_no_orphans(host: Host, read: Callable[..., Project]) -> None:
    up(host, read())
    host.said.clear()
    assert up(host, read(services=("db",))) == []
    assert not any("--remove-orphans" in said for said in host.said)


@pytest.mark.parametrize(
    ("after", "code", "words"),
    [
        ({"health": "unhealthy"}, "dependency_failed", "shop-db-1 is unhealthy"),
        ({"state": "stopped", "reason": "its command ended"}, "dependency_failed", "its command ended"),
        ({"health": "starting"}, "timeout", "shop-db-1: not healthy within"),
    ],
)
def test_a_dependency_that_fails_or_takes_too_long_is_told_by_name(
    host: Host, read: Callable[..., Project], after: dict[str, str], code: str, words: str
) -> None:
    host.on_start = lambda machine: machine.update(after if "-db-" in machine["name"] else {})
    project = read(SHOP.replace(", init: {condition: service_completed_successfully}", ""))
    with pytest.raises(Error, match=words) as failed:
        Up(host, project, limit_s=0.05).carry_out(plan_up(project, []), remove_orphans=False, wait=False)
    assert failed.value.code == code
    assert "shop-web-1" not in host.machines


def test_a_dependency_that_is_not_required_may_fail(host: Host, read: Callable[..., Project]) -> None:
    host.on_start = lambda machine: machine.update(health="unhealthy")
    text = SHOP.replace("service_healthy}", "service_healthy, required: false}")
    text = text.replace(", init: {condition: service_completed_successfully}", "")
    up(host, read(text))
    assert host.machines["shop-web-2"]["state"] == "running"
    assert "shop-db-1 is unhealthy" in host.said


def test_an_up_that_ended_anywhere_is_finished_by_the_next_and_taken_down_by_records(
    host: Host, read: Callable[..., Project]
) -> None:
    up(host, read())
    calls = len(host.log)
    for dies_after in range(calls):
        host = Host()
        host.dies_after = dies_after
        with pytest.raises(KeyboardInterrupt):
            up(host, read())
        host.dies_after = None
        up(host, read())
        assert {name: m["state"] for name, m in host.machines.items()} == {
            "shop-db-1": "running", "shop-init-1": "stopped", "shop-web-1": "running", "shop-web-2": "running"
        }  # fmt: skip
    for dies_after in range(calls):
        host = Host()
        host.dies_after = dies_after
        with pytest.raises(KeyboardInterrupt):
            up(host, read())
        host.dies_after = None
        down(host, "shop", None)
        assert not host.machines and not host.networks


def test_down_stops_what_needs_others_first_and_leaves_strangers(
    host: Host, read: Callable[..., Project]
) -> None:
    up(host, read())
    host.call(Call("POST", "/v1/networks", "Network", {"name": "mine"}))
    copy = {**host.machines["shop-db-1"], "name": "copy"}  # a fork has its parent's labels
    copy["spec"] = {**copy["spec"], "networks": []}
    host.machines |= {"copy": copy, "other": {"name": "other", "state": "running", "spec": {}}}
    host.log.clear()
    assert down(host, "shop", None)
    stops = [line for line in host.log if line.startswith("stop")]
    assert stops == ["stop shop-web-1", "stop shop-web-2", "stop shop-db-1"]
    assert host.log[-1] == "no network shop-default"
    assert {*host.machines} == {"copy", "other"} and {*host.networks} == {"mine"}
    assert not down(host, "shop", None)


def test_an_up_waits_for_machines_that_others_start_or_delete(
    host: Host, read: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill of the daemon, the next one shows a machine as starting until it knows that it does not."""
    monkeypatch.setattr(converge, "_PATIENCE_S", 0)
    up(host, read("services:\n  a: {image: i}\n"))
    states = iter(["starting", "starting", "stopping", "stopped"])

    def say(target: str, what: str) -> None:
        host.said.append(target)

    host.say = say  # type: ignore[method-assign]
    look_before = host.call

    def call(call: Call[object]) -> object:
        if call.method == "GET":
            host.machines["shop-a-1"]["state"] = next(states, "stopped")
        return look_before(call)

    host.call = call  # type: ignore[method-assign]
    assert [member.state for member in look_settled(host, "shop", 5)] == ["stopped"]
    assert host.said[-1] == "shop-a-1"
    states = iter(["deleting"] * 1000)
    assert [member.state for member in look_settled(host, "shop", 0.01)] == ["deleting"]


def test_a_restart_stops_in_one_order_and_starts_in_the_other(
    host: Host, read: Callable[..., Project]
) -> None:
    up(host, read("services:\n  b: {image: i, depends_on: [a]}\n  a: {image: i}\n"))
    host.log.clear()
    restart(host, look(host, "shop"), None)
    assert host.log == ["stop shop-b-1", "stop shop-a-1", "start shop-a-1", "start shop-b-1"]


def test_a_network_of_another_project_or_kind_is_refused(host: Host, read: Callable[..., Project]) -> None:
    text = "services:\n  a: {image: i, networks: [n]}\nnetworks:\n  n: {name: taken, internal: true}\n"
    host.networks["taken"] = {"name": "taken", "internal": True}
    with pytest.raises(Error, match="was not made for the project shop") as failed:
        up(host, read(text))
    assert failed.value.code == "name_taken"
    host.networks["taken"] = {"name": "taken", "labels": {"banger.project": "shop"}}
    with pytest.raises(Error, match="is not internal"):
        up(host, read(text))
    with pytest.raises(Error, match="calls external"):
        up(host, read(text.replace("name: taken, internal", "external")))


def test_the_first_failure_is_told_with_its_machine_when_all_others_have_ended(
    host: Host, read: Callable[..., Project]
) -> None:
    finished: list[str] = []

    def finish(operation: object, what: str) -> None:
        finished.append(what)
        if what == "shop-a-1":
            raise Error("boot_failed", "no kernel")

    host.finish = finish  # type: ignore[method-assign]
    with pytest.raises(Error, match="shop-a-1: no kernel"):
        up(host, read("services:\n  a: {image: i}\n  b: {image: i}\n"))
    assert finished == ["shop-a-1", "shop-b-1"]


def test_a_machine_that_ended_by_itself_meanwhile_is_stopped(
    host: Host, read: Callable[..., Project]
) -> None:
    up(host, read("services:\n  a: {image: i}\n"))

    def finish(operation: object, what: str) -> None:
        raise Error("bad_state", "it does not run")

    host.finish = finish  # type: ignore[method-assign]
    stop(host, look(host, "shop"), None)


SECRETS = """
services:
  web: {image: debian, secrets: [file, {source: env, target: /etc/key, mode: 0440, uid: 7}, theirs]}
secrets:
  file: {file: ./value.txt}
  env: {environment: VALUE}
  theirs: {external: true}
  unused: {file: ./not-there}
"""


def test_secrets_of_a_file_are_set_before_its_machines_and_deleted_after_them(
    host: Host, read: Callable[..., Project], tmp_path: Path
) -> None:
    (tmp_path / "value.txt").write_bytes(b"binary \0 and \n")
    host.secrets["theirs"] = {"name": "theirs"}
    project = read(SECRETS, environ={"VALUE": "from here"})
    changed = up(host, project)
    assert changed.index("set shop-env") < changed.index("make shop-web-1")
    assert host.values == {"shop-file": b"binary \0 and \n", "shop-env": b"from here"}
    assert host.machines["shop-web-1"]["spec"]["secrets"] == [
        {"name": "shop-file", "target": "file"},
        {"name": "shop-env", "target": "/etc/key", "mode": 0o440, "uid": 7},
        {"name": "theirs", "target": "theirs"},
    ]
    assert "from here" not in repr(host.machines) + repr(project) + repr(host.said)
    assert up(host, project) == ["set shop-file", "set shop-env"]
    host.log.clear()
    assert down(host, "shop", None)
    assert host.log[-2:] == ["no secret shop-env", "no secret shop-file"]
    assert [*host.secrets] == ["theirs"]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("environment: VALUE", "environment: UNSET"), "compose_invalid", "UNSET is not set"),
        (("value.txt", "gone.txt"), "compose_invalid", "cannot read"),
        (("external: true", "external: true, name: other"), "secret_not_found", "'other'"),
        (("environment: VALUE", "environment: VALUE, name: theirs"), "name_taken", "theirs exists"),
    ],
)
def test_a_secret_that_cannot_be_set_ends_an_up_before_it_makes_machines(
    host: Host, read: Callable[..., Project], tmp_path: Path, change: tuple[str, str], code: str, words: str
) -> None:
    (tmp_path / "value.txt").write_text("x")
    host.secrets["theirs"] = {"name": "theirs"}
    with pytest.raises(Error, match=words) as failed:
        up(host, read(SECRETS.replace(*change), environ={"VALUE": "from here"}))
    assert failed.value.code == code
    assert not host.machines and "from here" not in str(failed.value.as_dict())
