"""Compose files: what is refused, at which place, and what the rest means."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from banger.compose import refused
from banger.compose.loading import FILES, Asked, find_file, load_project
from banger.compose.plan import plan_spec
from banger.compose.project import Project
from banger.compose.services import KNOWN
from banger.errors import Error

ROOT = Path(__file__).parents[2]


def load(directory: Path, text: str | bytes, **asked: Any) -> Project:
    data = text if isinstance(text, bytes) else text.encode()
    (directory / "compose.yaml").write_bytes(data)
    return load_project(Asked(directory=str(directory), **{"name": "shop", **asked}))


def service(directory: Path, keys: str, **asked: Any) -> dict[str, Any]:
    """The spec of the one machine of a service with these keys."""
    lines = "".join(f"    {line}\n" for line in keys.splitlines())
    project = load(directory, f"services:\n  web:\n    image: debian\n{lines}", **asked)
    return plan_spec(project, project.services["web"], 1)


# What is wrong, the place, and words of message and hint.
REFUSED: list[tuple[str | bytes, str, str]] = [
    ("", "1:1", "no services"),
    ("services:\n", "1:1", "no services"),
    ("services: {}\n", "1:11", "no services"),
    ("- a\n", "1:1", "a Compose file must be a mapping"),
    ("servizes:\n  web: {image: a}\n", "1:1", "did you mean 'services'?"),
    ("services:\n  web:\n    imagine: a\n", "3:5", "unknown key 'imagine' in service web"),
    ("services:\n  web:\n    image: a\n    commando: b\n", "4:5", "did you mean 'command'?"),
    ("services:\n  web:\n", "2:3", "no image"),
    ("services:\n  web:\n    command: a\n", "2:3", "no image"),
    ("services:\n  web: {image: a, volumes: ['x:/y']}\n", "2:3", "which the file does not have"),
    ("services:\n  web: {image: a, volumes: ['./x:y']}\n", "2:29", "not an absolute path"),
    ("services:\n  web: {image: a, volumes: ['./x:/y:rx']}\n", "2:29", "unknown option 'rx'"),
    ("services:\n  web: {image: a, volumes: [{type: volume, source: x, target: /y}]}\n", "2:3", "does not have"),
    ("services:\n  web: {image: a, volumes: [{type: npipe, source: x, target: /y}]}\n", "2:29", "of type npipe"),
    ("services:\n  web: {image: a, volumes: ['x']}\n", "2:29", "not SOURCE:TARGET"),
    ("services:\n  web: {image: a, volumes: [{type: bind, source: x}]}\n", "2:29", "without target"),
    ("services:\n  web: {image: a, build: .}\n", "2:19", "name it with `image:`"),
    ("services:\n  web: {image: a, privileged: true}\n", "2:19", "a kernel of its own"),
    ("volumes:\n  d*: {}\nservices:\n  web: {image: a}\n", "2:3", "cannot be made"),
    ("volumes:\n  d: {driver: nfs}\nservices:\n  web: {image: a}\n", "2:15", "driver"),
    ("volumes:\n  d: {driver_opts: {type: nfs}}\nservices:\n  web: {image: a}\n", "2:21", "type"),
    (
        "volumes: {d: }\nservices:\n  web: {image: a, scale: 2, volumes: ['d:/d']}\n", "3:3", "cannot write to one"
    ),
    ("services:\n  web: {image: a}\n  web: {image: b}\n", "3:3", "twice (first in line 2)"),
    ("services:\n  web: {image: a,\n", "3:1", "this is not YAML"),
    ("services:\n\tweb:\n", "2:1", "not YAML"),
    ("services:\n  web: *base\n", "2:8", "no anchor &base"),
    ("services: &s\n  web: *s\n", "2:8", "inside of what it stands for"),
    ("services:\n  web: !reset {image: a}\n", "2:8", "the tag !reset"),
    ("services:\n  ? [a]\n  : b\n", "2:5", "a key that is not text"),
    ("services:\n  web:\n    <<: [1]\n", "3:10", "merges only mappings"),
    ("a: 1\n---\nb: 1\n", "2:1", "a second document"),
    (b"services:\n  web: \xff\n", "2:8", "not UTF-8"),
    ("services:\n  web: {image: \x01}\n", "2:16", "a character that YAML does not allow"),
    ("x: " + "[" * 40 + "]" * 40, "1:36", "deeper than 32"),
    ("services:\n  Wéb: {image: a}\n", "2:3", "cannot be the name of a service"),
    ("services:\n  web: {image: a, ports: [x]}\n", "2:27", "cannot publish 'x'"),
    ("services:\n  web: {image: a, ports: ['70000:80']}\n", "2:27", "not a port"),
    ("services:\n  web: {image: a, ports: ['8000-8002:80-81']}\n", "2:27", "differ in length"),
    ("services:\n  web: {image: a, ports: ['300.1.1.1:8000:80']}\n", "2:27", "not an address"),
    ("services:\n  web: {image: a, ports: [{published: 80}]}\n", "2:27", "without target"),
    ("services:\n  web: {image: a, ports: [{target: 80, mode: odd}]}\n", "2:46", "mode 'odd'"),
    ("services:\n  web: {image: a, ports: ['80:80'], scale: 2}\n", "2:27", "cannot publish the same port 80"),
    ("services:\n  web: {image: a, ports: ['80-81:80'], scale: 3}\n", "2:27", "fewer ports"),
    ("services:\n  web: {image: a, container_name: x, scale: 2}\n", "2:35", "cannot have the one name"),
    ("services:\n  web: {image: a, container_name: X_y}\n", "2:35", "bad name"),
    ("services:\n  a.b: {image: a}\n  a-b: {image: a}\n", "3:3", "have the same machine shop-a-b-1"),
    ("services:\n  " + "w" * 60 + ": {image: a}\n", "2:3", "longer than 63"),
    ("services:\n  web: {image: a, restart: often}\n", "2:28", "no, always, unless-stopped"),
    ("services:\n  web: {image: a, stop_signal: SIGNAL}\n", "2:32", "is not a signal"),
    ("services:\n  web: {image: a, stop_grace_period: 10}\n", "2:38", "1m30s"),
    ("services:\n  web: {image: a, cpus: many}\n", "2:25", "must be a number"),
    ("services:\n  web: {image: a, cpus: 0}\n", "2:25", "from 0.01 to 64"),
    ("services:\n  web: {image: a, mem_limit: 1q}\n", "2:30", "512m"),
    ("services:\n  web: {image: a, mem_limit: 16m}\n", "2:30", "at least 64 MiB"),
    ("services:\n  web: {image: a, deploy: {replicas: -1}}\n", "2:38", "whole number"),
    ("services:\n  web: {image: a, deploy: {mode: global}}\n", "2:34", "replicated"),
    ("services:\n  web: {image: a, deploy: {resources: {limits: {pids: 5}}}}\n", "2:49", "ulimit"),
    ("services:\n  web: {image: a, deploy: {update_config: {order: x}}}\n", "2:28", "leave the key out"),
    ("services:\n  web: {image: a, hostname: a.b}\n", "2:29", "not a host name"),
    ("services:\n  web: {image: a, dns: [example.com]}\n", "2:25", "not an address"),
    ("services:\n  web: {image: a, extra_hosts: ['h:host-gateway']}\n", "2:33", "host.banger.internal"),
    ("services:\n  web: {image: a, extra_hosts: ['a b:1.2.3.4']}\n", "2:33", "not a host name"),
    ("services:\n  web: {image: \"\\ud800\"}\n", "2:16", "not Unicode"),
    ("services:\n  \"w\\ud800\": {image: a}\n", "2:3", "cannot be shown"),
    ("services:\n  web: {image: " + "a" * 2000 + "}\n", "2:3", "no machine can be as service web says"),
    ("services:\n  web: {image: a, labels: {banger.x: y}}\n", "2:28", "banger's own"),
    ("services:\n  web: {image: a, environment: {A: [1]}}\n", "2:36", "must be text"),
    ("services:\n  web: {image: a, environment: ['=x']}\n", "2:33", "is not a variable"),
    ("services:\n  web: {image: a, env_file: nowhere.env}\n", "2:29", "cannot read"),
    ("services:\n  web: {image: a, command: \"a 'b\"}\n", "2:28", "cannot be divided into words"),
    ("services:\n  web: {image: a, tty: maybe}\n", "2:24", "true or false"),
    ("services:\n  web: {image: a, init: false}\n", "2:25", "init: entrypoint"),
    ("services:\n  web: {image: a, pull_policy: always}\n", "2:32", "missing"),
    ("services:\n  web: {image: a, network_mode: host}\n", "2:33", "none"),
    ("services:\n  web: {image: a, network_mode: none, networks: [x]}\n", "2:49", "one of the two"),
    ("services:\n  web: {image: a, networks: [x]}\n", "2:3", "the file does not have"),
    ("services:\n  web: {image: a, networks: {x: {ipv4_address: 1.2.3.4}}}\n", "2:34", "banger chooses"),
    ("services:\n  web: {image: a}\nnetworks:\n  x: {driver: overlay}\n", "4:15", "bridge"),
    ("services:\n  web: {image: a}\nnetworks:\n  x: {ipam: {config: [a]}}\n", "4:7", "banger chooses"),
    ("services:\n  web: {image: a}\nnetworks:\n  x: {name: a_b}\n", "4:3", "bad name"),
    ("services:\n  web: {image: a, depends_on: [db]}\n", "2:3", "'db', which the file does not have"),
    ("services:\n  web: {image: a, depends_on: {web: {condition: x}}}\n", "2:49", "service_healthy"),
    (
        "services:\n  web: {image: a, depends_on: {db: {condition: service_healthy}}}\n  db: {image: a}\n",
        "2:3",
        "has no healthcheck",
    ),
    ("services:\n  a: {image: a, depends_on: [b]}\n  b: {image: a, depends_on: [a]}\n", "", "depend on one"),
    ("services:\n  web: {image: a, healthcheck: {}}\n", "2:32", "without test"),
    ("services:\n  web: {image: a, healthcheck: {test: [echo, a]}}\n", "2:39", "CMD-SHELL"),
    ("services:\n  web: {image: a, healthcheck: {test: a, interval: 1ms}}\n", "2:52", "half a second"),
    ("services:\n  web: {image: a, healthcheck: {test: a, retry: 3}}\n", "2:42", "did you mean 'retries'?"),
    ("services:\n  web: {image: a, x-banger: {dsk: 1g}}\n", "2:30", "did you mean 'disk'?"),
    ("services:\n  web: {image: a, secrets: [x]}\n", "2:29", "the secret 'x', which the file does not have"),
    ("services:\n  web: {image: a, secrets: [{target: x}]}\n", "2:29", "without source"),
    ("services:\n  web: {image: a, secrets: [{source: x, mode: 9}]}\n", "2:47", "in octal"),
    ("secrets: {x: {}}\nservices:\n  web: {image: a}\n", "1:11", "no value"),
    ("secrets: {x: {file: a, environment: B}}\nservices:\n  web: {image: a}\n", "1:11", "file and environment"),
    ("secrets: {x: {file: a, driver: b}}\nservices:\n  web: {image: a}\n", "1:24", "keeps secrets itself"),
    ("secrets: {'a b': {file: a}}\nservices:\n  web: {image: a}\n", "1:11", "cannot be the name of a secret"),
    ("secrets: {x: {file: a, labels: {banger.x: y}}}\nservices:\n  web: {image: a}\n", "1:33", "banger's own"),
    ("services:\n  web: {image: '${A'}\n", "2:16", "write $$"),
    ("services:\n  web: {image: $}\n", "2:16", "write $$"),
    ("services:\n  web: {image: '${A:?say which}'}\n", "2:16", "say which"),
    ("services:\n  web: {image: '${A B}'}\n", "2:16", "is not a variable"),
    ("name: ___\nservices:\n  web: {image: a}\n", "1:7", "name of a project"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "words"), REFUSED, ids=[str(row[0])[-40:] for row in REFUSED])
def test_a_file_is_refused_with_its_place(tmp_path: Path, text: str | bytes, place: str, words: str) -> None:
    name = {} if words == "name of a project" else {"name": "shop"}
    with pytest.raises(Error) as failed:
        load(tmp_path, text, **{"name": "", **name})
    error = failed.value
    assert error.code == "compose_invalid"
    assert words in f"{error.message}; {error.hint}"
    path = str(tmp_path / "compose.yaml")
    assert error.message.startswith(f"{path}:{place}{': ' if place else ''}")
    line, column = map(int, place.split(":")) if place else (error.details["line"], error.details["column"])
    assert error.details == {"path": path, "line": line, "column": column}


def bomb(levels: int) -> str:
    """Aliases of aliases: ten to the power of `levels` nodes."""
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\nservices: {web: {image: a}}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(9), "with all aliases followed"),
        ("a: &a {}\n" + "".join(f"b{n}: &b{n} {{<<: [*a, *a], x{n}: 1}}\n" for n in range(5000)), "nodes"),
        ("[" * 200_000, "deeper than 32"),
        ("a: " * 100 + "\n" + "- " * 100_000, "this is not YAML"),
        ("- " * 100_000, "deeper than 32"),
        ("x: [" + "a," * 60_000 + "a]", "nodes"),
        ("#" * (257 * 1024), "larger than 256 KiB"),
        ("services: {web: {image: '" + "${A:-" * 2000 + "}" * 2000 + "'}}", "nested deeper than 8"),
    ],
    ids=["aliases", "merges", "brackets", "keys", "dashes", "items", "size", "variables"],
)
def test_a_hostile_file_is_refused_soon(tmp_path: Path, text: str, words: str) -> None:
    begun = time.process_time()
    load(tmp_path, "services:\n  web: {image: a}\n" + "# a comment\n" * 10_000)
    usual = time.process_time() - begun
    begun = time.process_time()
    with pytest.raises(Error, match=words):
        load(tmp_path, text)
    assert time.process_time() - begun < max(5.0, 100 * usual)


def test_variables_make_no_text_too_long(tmp_path: Path) -> None:
    text = "services: {web: {image: '" + "$A" * 400 + "'}}"
    with pytest.raises(Error, match="too long"):
        load(tmp_path, text, environ={"A": "x" * 1000})


def test_the_first_known_file_is_taken_and_its_absence_is_told(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no Compose file") as failed:
        find_file(str(tmp_path))
    assert failed.value.code == "project_not_found"
    for name in reversed(FILES):
        (tmp_path / name).write_text("")
        assert find_file(str(tmp_path)) == str(tmp_path / name)


def test_the_name_comes_from_the_user_the_file_or_the_directory(tmp_path: Path) -> None:
    directory = tmp_path / "My_Shop"
    directory.mkdir()
    text = "name: from.file\nservices: {web: {image: a}}\n"
    assert load(directory, text, name="Given_Name").name == "given-name"
    assert load(directory, text, name="", environ={"COMPOSE_PROJECT_NAME": "env"}).name == "env"
    assert load(directory, text, name="").name == "from-file"
    assert load(directory, "services: {web: {image: a}}\n", name="").name == "my-shop"


def test_anchors_and_merges_give_a_service_its_keys(tmp_path: Path) -> None:
    project = load(
        tmp_path,
        """
x-base: &base
  image: debian
  environment: &env {A: a, B: b}
x-more: &more {image: other, user: nobody}
services:
  one:
    <<: [*base, *more]
    environment: {<<: *env, B: c}
  two:
    <<: *base
    image: own
""",
    )
    one, two = (project.services[name].spec for name in ("one", "two"))
    assert one == {
        "image": "debian",
        "command": {"env": {"A": "a", "B": "c"}, "user": "nobody"},
    }
    assert two == {"image": "own", "command": {"env": {"A": "a", "B": "b"}}}


def test_words_that_yaml_would_change_stay_what_was_written(tmp_path: Path) -> None:
    spec = service(tmp_path, "environment: {A: no, B: 22:22, C: 1.10, D: 0x1F, E: 2026-01-01, F: }")
    assert spec["command"]["env"] == {"A": "no", "B": "22:22", "C": "1.10", "D": "0x1F", "E": "2026-01-01"}


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ("command: sh -c 'echo $$HOME; ls'", "command", {"argv": ["sh", "-c", "echo $HOME; ls"]}),
        ("entrypoint: []\ncommand: [a, b c]", "command", {"entrypoint": [], "argv": ["a", "b c"]}),
        ("working_dir: /srv\nuser: '1000'", "command", {"cwd": "/srv", "user": "1000"}),
        ("tty: true\nstdin_open: yes", "command", {"tty": True, "stdin": True}),
        ("environment: [A=b=c, HERE, GONE]", "command", {"env": {"A": "b=c", "HERE": "here"}}),
        ("cpus: 2", "cpus", 2),
        ("cpus: '0.5'", "cpu_limit", 0.5),
        ("cpus: 1.5", "cpus", 2),
        ("mem_limit: 512m", "memory_mib", 512),
        ("mem_limit: 104857601", "memory_mib", 101),
        ("mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2gb, cpus: '4'}}}", "memory_mib", 2048),
        ("restart: on-failure:3", "restart", "on-failure:3"),
        ("stop_signal: sigint", "stop_signal", "SIGINT"),
        ("stop_grace_period: 1m30s", "stop_grace_s", 90.0),
        ("hostname: box", "hostname", "box"),
        ("dns: 9.9.9.9", "dns", ["9.9.9.9"]),
        ("extra_hosts: {a: 192.0.2.1}", "hosts", ["a:192.0.2.1"]),
        ("extra_hosts: ['a=192.0.2.1', 'b:[2001:db8::1]']", "hosts", ["a:192.0.2.1", "b:2001:db8::1"]),
        ("network_mode: none", "network", "none"),
        ("ports: [80, '8080:80/udp']", "ports", ["127.0.0.1:0:80/tcp", "127.0.0.1:8080:80/udp"]),
        ("ports: ['0.0.0.0:8000-8001:80-81']", "ports", ["0.0.0.0:8000-8001:80-81/tcp"]),
        ("ports: ['[::1]:8000:80']", "ports", ["[::1]:8000:80/tcp"]),
        ("ports: [{target: 80, published: '8080', host_ip: 0.0.0.0}]", "ports", ["0.0.0.0:8080:80/tcp"]),
        ("healthcheck: {test: a b}", "healthcheck", {"test": ["/bin/sh", "-c", "a b"]}),
        ("healthcheck: {test: [CMD, a, b], retries: 2}", "healthcheck", {"test": ["a", "b"], "retries": 2}),
        ("healthcheck: {test: [CMD-SHELL, a b]}", "healthcheck", {"test": ["/bin/sh", "-c", "a b"]}),
        ("healthcheck: {test: [NONE]}", "healthcheck", None),
        ("healthcheck: {disable: true}", "healthcheck", None),
        ("x-banger: {disk: 8g, allow: 'a:1', network: lan}", "disk_bytes", 8 << 30),
        ("x-banger: {allow: ['a:1', b]}", "allow", ["a:1", "b"]),
        ('x-other: {what: "${EVER"}\nvolumes: []\nprivileged: false', "image", "debian"),
    ],
)  # fmt: skip
def test_a_key_becomes_a_field(tmp_path: Path, keys: str, field: str, value: object) -> None:
    assert service(tmp_path, keys, environ={"HERE": "here"}).get(field) == value


def test_variables_come_from_the_environment_then_from_files(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# of the project\nexport A=1\nB='$A'  # as it is\nC=\"${A}\\n$$\"\nD=$A-${X:-x} # with a comment\nE=\n"
    )
    (tmp_path / "service.env").write_text("F=file\nG=${A}\n")
    keys = """env_file: [service.env, {path: none.env, required: false}]
environment:
  A: $A
  B: ${B}
  C: $C
  D: ${D}
  E: ${E:-empty}${E-unset}
  F: ${NOT:+never}${A:+set}
  G2: ${NOT-a${ALSO_NOT:-b}}"""
    spec = service(tmp_path, keys, environ={"A": "one"})
    assert spec["command"]["env"] == {
        "A": "one", "B": "$A", "C": "one\n$", "D": "one-x", "E": "empty", "F": "set", "G": "one", "G2": "ab",
    }  # fmt: skip
    (tmp_path / "other.env").write_text("A=other\n")
    spec = service(tmp_path, "environment: {A: $A}", env_files=(str(tmp_path / "other.env"),))
    assert spec["command"]["env"] == {"A": "other"}


@pytest.mark.parametrize(
    ("line", "words"),
    [("A b=c", ":2:1: 'A b' is not"), ("A='x", ":2:1: a ' without"), ('A="x" y', "after the closing quote")],
)
def test_a_file_of_variables_is_refused_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / ".env").write_text(f"X=1\n{line}\n")
    with pytest.raises(Error, match="env") as failed:
        service(tmp_path, "")
    assert failed.value.code == "compose_invalid" and words in failed.value.message


def test_a_variable_without_a_value_is_told(tmp_path: Path) -> None:
    project = load(tmp_path, "version: '3'\nservices:\n  web: {image: 'a$B'}\n")
    assert [warning.partition("yaml:")[2] for warning in project.warnings] == [
        "1:10: version has no meaning any more; leave the key out",
        "3:16: the variable B is not set; it counts as empty",
    ]


CHAIN = """
services:
  web: {image: a, depends_on: [app]}
  app: {image: a, depends_on: {db: {condition: service_healthy}, debug: {required: false}}}
  db: {image: a, healthcheck: {test: "true"}}
  debug: {image: a, profiles: [debug]}
  tool: {image: a, profiles: [tools], depends_on: [db]}
  far: {image: a, depends_on: [tool]}
"""


def test_services_are_chosen_by_name_and_profile_and_ordered_by_dependencies(tmp_path: Path) -> None:
    chain = CHAIN.replace("  far: {image: a, depends_on: [tool]}\n", "")
    assert [*load(tmp_path, chain).services] == ["db", "app", "web"]
    assert [*load(tmp_path, chain, services=("app",)).services] == ["db", "app"]
    assert [*load(tmp_path, chain, services=("tool",)).services] == ["db", "tool"]
    assert {*load(tmp_path, chain, profiles=("debug",)).services} == {"db", "debug", "app", "web"}
    assert {*load(tmp_path, chain, environ={"COMPOSE_PROFILES": "tools,debug"}).services} == {
        "web", "app", "db", "debug", "tool"
    }  # fmt: skip
    assert load(tmp_path, chain).known == ("web", "app", "db", "debug", "tool")
    with pytest.raises(Error, match="whose profile is not chosen"):
        load(tmp_path, CHAIN)
    with pytest.raises(Error, match="no service 'gone'"):
        load(tmp_path, chain, services=("gone",))


def test_networks_have_names_of_the_project_unless_they_have_their_own(tmp_path: Path) -> None:
    project = load(
        tmp_path,
        """
services:
  a: {image: a}
  b: {image: a, networks: [front, back]}
  c: {image: a, networks: {out: {aliases: [sea]}, named: }}
networks:
  front:
  back: {internal: true, driver: bridge, labels: [x=y]}
  out: {external: true}
  named: {name: own-name}
  unused: {}
""",
    )
    made = {
        network.key: (network.name, network.internal, network.external)
        for network in project.networks.values()
    }
    assert made == {
        "default": ("shop-default", False, False),
        "front": ("shop-front", False, False),
        "back": ("shop-back", True, False),
        "out": ("out", False, True),
        "named": ("own-name", False, False),
    }
    assert plan_spec(project, project.services["c"], 1)["networks"] == [
        {"network": "out", "aliases": ["c", "sea"]},
        {"network": "own-name", "aliases": ["c"]},
    ]


def test_the_page_has_every_key() -> None:
    page = (ROOT / "docs/compose.md").read_text()
    keys = {*KNOWN, *refused.SERVICE, *refused.PROJECT, *refused.NETWORK, *refused.DEPLOY}
    assert {key for key in keys if f"`{key}`" not in page} == set()
    tables = (refused.SERVICE, refused.PROJECT, refused.NETWORK, refused.JOINED, refused.DEPLOY, refused.PORT)
    rows = {f"| `{key}` | {why} |" for table in tables for key, why in table.items()}
    assert {row for row in rows if row not in page} == set()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples/compose").glob("*/*.yaml")), ids=lambda p: p.parent.name
)
def test_the_examples_are_projects(path: Path) -> None:
    project = load_project(Asked(file=str(path)))
    assert project.services and project.warnings == ()


def test_there_are_five_examples() -> None:
    assert len([*(ROOT / "examples/compose").glob("*/*.yaml")]) >= 5


def test_directories_of_the_host_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    found = service(
        tmp_path,
        """volumes:
  - ./site:/srv/site:ro
  - ../data:/data
  - /etc:/host:z
  - {type: bind, source: conf, target: /conf, read_only: true, bind: {create_host_path: true}}""",
    )
    assert found["mounts"] == [
        {"source": str(tmp_path / "site"), "target": "/srv/site", "read_only": True},
        {"source": str(tmp_path.parent / "data"), "target": "/data", "read_only": False},
        {"source": "/etc", "target": "/host", "read_only": False},
        {"source": str(tmp_path / "conf"), "target": "/conf", "read_only": True},
    ]


def test_volumes_have_the_name_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        """services:
  web:
    image: a
    volumes: [data:/data, {type: volume, source: own, target: /own, read_only: true, volume: {nocopy: true}}]
volumes:
  data: {driver: local, driver_opts: {size: 1g}, labels: {a: b}}
  own: {external: true, name: shared}
  unused:
"""
    )
    project = load_project(Asked(directory=str(tmp_path), name="shop"))
    assert [(one.name, one.size_bytes, one.external) for one in project.volumes.values()] == [
        ("shop_data", 1 << 30, False), ("shared", 0, True)
    ]  # fmt: skip
    assert plan_spec(project, project.services["web"], 1)["volumes"] == [
        {"volume": "shop_data", "target": "/data", "read_only": False, "no_copy": False},
        {"volume": "shared", "target": "/own", "read_only": True, "no_copy": True},
    ]
