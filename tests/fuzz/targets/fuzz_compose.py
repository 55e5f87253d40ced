"""A stranger's Compose file: it is refused by name, or is a project whose machines a daemon can be asked for."""

from __future__ import annotations

import contextlib

import msgspec

from banger.compose.loading import Asked, read_project
from banger.compose.plan import plan_spec, plan_up
from banger.errors import Error
from banger.model.machine import MachineSpec

SEEDS = [
    b"services:\n  web:\n    image: a$A\n    ports: ['8080:80']\n    depends_on: {db: {condition: service_healthy}}\n"
    b"  db: {image: a, healthcheck: {test: [CMD, a], interval: 1m}, deploy: {replicas: 2}}\n",
    b"x-a: &a {image: a, environment: [A=b, C]}\nservices:\n  a: {<<: *a, networks: {n: {aliases: [b]}}}\n"
    b"networks: {n: {internal: true}}\n",
    b"name: x\nservices: {a: {image: '${B:-${A}}', command: a 'b c', labels: {a: b}, cpus: .5, mem_limit: 1g}}\n",
]
_ASKED = Asked(name="shop", environ={"A": "x"})


def run(data: bytes) -> None:
    with contextlib.suppress(Error):
        project = read_project("compose.yaml", data, "/nowhere", _ASKED)
        plan_up(project, [])
        for service in project.services.values():
            spec = plan_spec(project, service, 1)
            assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(spec)), MachineSpec)
