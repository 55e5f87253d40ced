"""What has to be done so that the machines are as the file says. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from banger.compose import records
from banger.compose.naming import machine_name, plain_name
from banger.compose.ports import describe_port
from banger.compose.project import Facts, Project, Service
from banger.compose.records import Member
from banger.compose.steps import Action, Plan, Step


def plan_up(project: Project, members: Iterable[Member], *, force: bool = False) -> Plan:
    """The plan for the services of the project. `force` makes machines again that did not change."""
    by_name = {member.name: member for member in members}
    wanted = {
        service.name: [_step(project, service, number, by_name, force) for number in _numbers(service)]
        for service in project.services.values()
    }
    names = {step.name for steps in wanted.values() for step in steps}
    left = [member for name, member in by_name.items() if name not in names]
    return Plan(
        stages=tuple(tuple(step for name in stage for step in wanted[name]) for stage in stages_of(project)),
        surplus=tuple(member for member in left if member.service in project.services),
        orphans=tuple(member for member in left if member.service not in project.known),
    )


def stages_of(project: Project) -> list[list[str]]:
    """The services, each in the first stage after all that it depends on."""
    stage: dict[str, int] = {}
    for service in project.services.values():  # in the order of dependencies
        needed = [stage[other.service] for other in service.depends_on if other.service in stage]
        stage[service.name] = 1 + max(needed, default=-1)
    return [
        [name for name, at in stage.items() if at == number]
        for number in range(1 + max(stage.values(), default=-1))
    ]


def _numbers(service: Service) -> range:
    return range(1, service.replicas + 1)


def _step(
    project: Project, service: Service, number: int, members: Mapping[str, Member], force: bool
) -> Step:
    name = machine_name(project.name, service, number)
    spec, was = plan_spec(project, service, number), members.get(name)
    action: Action = "start"
    if was is None:
        action = "make"
    elif force or was.digest != spec["labels"][records.DIGEST] or was.state == "deleting":
        action = "remake"
    elif was.is_live and was.state != "stopping":
        action = "keep"
    return Step(action, service.name, name, spec, was)


def plan_spec(project: Project, service: Service, number: int) -> Facts:
    """The MachineSpec of one machine, with the labels by which it is found again."""
    spec: Facts = {"name": machine_name(project.name, service, number), **service.spec}
    if service.ports:
        spec["ports"] = [describe_port(port, number, service.replicas) for port in service.ports]
    if service.networks:
        spec["networks"] = [
            {
                "network": project.networks[joined.key].name,
                "aliases": [*dict.fromkeys([*_names(service), *joined.aliases])],
            }
            for joined in service.networks
        ]
    if service.volumes:
        spec["volumes"] = [
            {**mount, "volume": project.volumes[mount["volume"]].name} for mount in service.volumes
        ]
    if service.secrets:
        spec["secrets"] = [{"name": project.secrets[used.key].name, **used.use} for used in service.secrets]
    digest = hashlib.sha256(json.dumps([spec, service.labels], sort_keys=True).encode()).hexdigest()
    spec["labels"] = {
        **service.labels,
        records.PROJECT: project.name,
        records.SERVICE: service.name,
        records.NUMBER: str(number),
        records.MACHINE: str(spec["name"]),
        records.DIGEST: digest,
        records.DIRECTORY: project.directory,
        records.NEEDS: " ".join(other.service for other in service.depends_on),
    }
    return spec


def _names(service: Service) -> list[str]:
    """The names of the service: as written, and as far as they differ in small letters without other characters."""
    return [*dict.fromkeys([service.name.lower(), plain_name(service.name)])]
