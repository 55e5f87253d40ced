"""Carries out plans by calls of the API. Each step looks at the records, which say all: a run that was ended at any
moment is continued by the next one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from banger.client import calls
from banger.client.call import Call
from banger.compose import records
from banger.compose.project import Dependency, Project, ProjectNetwork, ProjectSecret, ProjectVolume, Service
from banger.compose.records import Member, find_members, find_own, in_stages
from banger.compose.steps import Plan, Step
from banger.errors import BadState, Error, NoSuchMachine, NoSuchNetwork, NoSuchSecret, NoSuchVolume
from banger.model.sizes import SECRET_MAX_BYTES

_LOOK_EVERY_S = 0.5
_PATIENCE_S = 2.0
WAIT_S = 600.0
_MOVING = ("starting", "stopping", "deleting")


class Hands(Protocol):
    """How calls are made, and who is told what happens."""

    def call(self, call: Call[object]) -> object:
        """The answer, as JSON data."""

    def finish(self, operation: object, what: str) -> None:
        """Wait for the end of an operation. Raises the error that it failed with."""

    def say(self, target: str, what: str) -> None:
        """Tell the user what was done, or what is waited for."""

    def warn(self, what: str) -> None: ...


def look(hands: Hands, project: str) -> list[Member]:
    """The machines of the project, as they are now."""
    return find_members(_records(hands.call(calls.machines_list())), project)


def look_settled(hands: Hands, project: str, limit_s: float) -> list[Member]:
    """As `look`, once no machine is about to become something else: another client starts or deletes it, or a daemon
    that came back has still to find out whether it runs."""
    begun, told = time.monotonic(), False
    while True:
        members = look(hands, project)
        moving = [member for member in members if member.state in _MOVING]
        if not moving or time.monotonic() - begun > limit_s:
            return members
        if not told and time.monotonic() - begun > _PATIENCE_S:
            hands.say(" ".join(member.name for member in moving), "waiting until others have done with it")
            told = True
        time.sleep(_LOOK_EVERY_S)


def _records(answer: object) -> list[Mapping[str, object]]:
    return [record for record in answer if isinstance(record, dict)] if isinstance(answer, list) else []


class Up:
    """One `up` of a project. It waits for a service for `limit_s`; without it, for ten minutes, or as long as the
    healthcheck of the service allows."""

    def __init__(self, hands: Hands, project: Project, *, limit_s: float | None = None) -> None:
        self._hands = hands
        self._project = project
        self._limit_s = limit_s

    def carry_out(self, plan: Plan, *, remove_orphans: bool, wait: bool) -> None:
        """Do all that the plan says; with `wait`, return when all is healthy. Raises the first error;
        the steps beside a step that failed are brought to their ends."""
        make_networks(self._hands, self._project)
        make_volumes(self._hands, self._project)
        set_secrets(self._hands, self._project)
        gone = [*plan.surplus, *(plan.orphans if remove_orphans else ())]
        take_down(self._hands, gone, None)
        if plan.orphans and not remove_orphans:
            names = " ".join(member.name for member in plan.orphans)
            self._hands.warn(
                f"the file has no services for these machines: {names}; --remove-orphans deletes them"
            )
        for stage in plan.stages:
            self._do(self._ready(stage))
        if wait:
            for service in self._project.services.values():
                if "healthcheck" in service.spec:
                    self._wait(service, Dependency(service.name, "service_healthy"))

    def _ready(self, stage: Iterable[Step]) -> list[Step]:
        """The steps of the stage, when what they depend on is as they need it."""
        steps = [*stage]
        for name in dict.fromkeys(step.service for step in steps):
            for dependency in self._project.services[name].depends_on:
                other = self._project.services.get(dependency.service)
                if other is not None and any(
                    step.service == name and step.action != "keep" for step in steps
                ):
                    self._wait(other, dependency)
        return steps

    def _do(self, steps: Sequence[Step]) -> None:
        hands = self._hands
        again = [step.was for step in steps if step.action == "remake" and step.was is not None]
        take_down(hands, again, None)
        for step in steps:
            if step.action in ("make", "remake"):
                hands.call(calls.machines_create(**step.spec))
                hands.say(step.name, "made")
        starts = [step for step in steps if step.action != "keep"]
        all_ended(hands, [step.name for step in starts], calls.machines_start, "started")

    def _wait(self, service: Service, dependency: Dependency) -> None:
        """Wait until the dependency is as its condition says. Raises `dependency_failed` or `timeout`."""
        try:
            self._wait_for(service, dependency)
        except Error as exc:
            if dependency.required:
                raise
            self._hands.warn(exc.message)

    def _wait_for(self, service: Service, dependency: Dependency) -> None:
        begun, told, limit_s = time.monotonic(), False, self._limit_for(service)
        while True:
            members = [m for m in look(self._hands, self._project.name) if m.service == service.name]
            waiting = [m for m in members if not _is_fulfilled(m, dependency)]
            if not waiting and (members or not service.replicas):
                return
            if time.monotonic() - begun > limit_s:
                names = " ".join(member.name for member in waiting) or service.name
                raise Error(
                    "timeout",
                    f"{names}: not {_WORDS[dependency.condition]} within {limit_s:g} s",
                    f"banger compose logs {service.name}; --wait-timeout waits longer",
                    {"service": service.name, "condition": dependency.condition},
                )
            if not told:
                self._hands.say(service.name, f"waiting until it is {_WORDS[dependency.condition]}")
                told = True
            time.sleep(_LOOK_EVERY_S)

    def _limit_for(self, service: Service) -> float:
        if self._limit_s is not None:
            return self._limit_s
        check = service.spec.get("healthcheck", {})
        tries = check.get("retries", 3) + 1
        each_s = check.get("interval_s", 30) + check.get("timeout_s", 30)
        return float(max(WAIT_S, check.get("start_period_s", 0) + tries * each_s))


_WORDS = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "complete",
}


def _is_fulfilled(member: Member, dependency: Dependency) -> bool:
    """Raises `dependency_failed` if it never will be."""
    if dependency.condition == "service_completed_successfully":
        if not member.has_ended:
            return False
        if member.code == 0 and member.state == "stopped":
            return True
    elif dependency.condition == "service_started" or member.health == "healthy":
        return True
    elif member.health != "unhealthy" and not member.has_ended:
        return False
    why = "is unhealthy" if member.health == "unhealthy" else f"ended: {member.reason or member.state}"
    raise Error(
        "dependency_failed",
        f"{member.name} {why}",
        f"banger vm logs {member.name}; banger events --machine {member.name}",
        {"service": member.service, "machine": member.name, "condition": dependency.condition},
    )


def make_networks(hands: Hands, project: Project) -> None:
    """Make the networks that do not exist yet. Raises `network_not_found`, `name_taken`, `bad_state`."""
    existing = _by_name(hands, calls.networks_list())
    for network in project.networks.values():
        record = existing.get(network.name)
        _check_owner("network", network, record, project.name, "create")
        if network.external:
            continue
        if record is None:
            labels = {**network.labels, records.PROJECT: project.name}
            hands.call(calls.networks_create(network.name, network.internal, labels))
            hands.say(f"network {network.name}", "made")
        elif bool(record.get("internal")) != network.internal:
            kind = "internal" if record.get("internal") else "not internal"
            raise Error(
                "bad_state",
                f"the network {network.name} is {kind}, other than in the file",
                "banger down, then banger up",
            )


def make_volumes(hands: Hands, project: Project) -> None:
    """Make the volumes that do not exist yet. Raises `volume_not_found`, `name_taken`."""
    existing = _by_name(hands, calls.volumes_list()) if project.volumes else {}
    for volume in project.volumes.values():
        record = existing.get(volume.name)
        _check_owner("volume", volume, record, project.name, "create")
        if record is None:
            labels = {**volume.labels, records.PROJECT: project.name}
            hands.call(calls.volumes_create(volume.name, volume.size_bytes, labels))
            hands.say(f"volume {volume.name}", "made")


def set_secrets(hands: Hands, project: Project) -> None:
    """Give each secret of the project the value that it has now. Machines that run keep what they have. Raises
    `secret_not_found`, `name_taken`, `compose_invalid`."""
    existing = _by_name(hands, calls.secrets_list()) if project.secrets else {}
    for secret in project.secrets.values():
        record = existing.get(secret.name)
        _check_owner("secret", secret, record, project.name, "set")
        if secret.external:
            continue
        labels = {**secret.labels, records.PROJECT: project.name}
        words = [f"{name}={value}" for name, value in labels.items()]
        hands.call(calls.secrets_put(secret.name, [_value_of(secret)], False, words))
        if record is None:
            hands.say(f"secret {secret.name}", "set")


def _by_name(hands: Hands, listing: Call[Any]) -> dict[str, Mapping[str, object]]:
    return {str(record.get("name")): record for record in _records(hands.call(listing))}


def _check_owner(
    kind: str,
    wanted: ProjectNetwork | ProjectVolume | ProjectSecret,
    record: Mapping[str, object] | None,
    project: str,
    verb: str,
) -> None:
    """Raises `network_not_found` and so on for an external thing that does not exist, `name_taken` for a thing that
    exists and was made for something else. `verb` makes one by hand."""
    if wanted.external:
        if record is None:
            raise Error(
                f"{kind}_not_found",
                f"there is no {kind} {wanted.name!r}, which the file calls external",
                f"banger {kind} {verb} {wanted.name}",
            )
    elif record is not None and records.labels_of(record).get(records.PROJECT) != project:
        raise Error(
            "name_taken",
            f"the {kind} {wanted.name} exists, and was not made for the project {project}",
            f"write external: true below the {kind}, or give it another name:",
        )


def _value_of(secret: ProjectSecret) -> bytes:
    if secret.variable:
        if secret.value is None:
            message = f"secret {secret.key}: the variable {secret.variable} is not set"
            raise Error("compose_invalid", message, f"export {secret.variable}")
        return os.fsencode(secret.value)
    try:
        with open(secret.file, "rb") as file:
            value = file.read(SECRET_MAX_BYTES + 1)
    except OSError as exc:
        message = f"secret {secret.key}: cannot read {secret.file}: {exc.strerror}"
        raise Error("compose_invalid", message, "put the value into this file") from exc
    if len(value) > SECRET_MAX_BYTES:
        message = f"secret {secret.key}: {secret.file} has more than {SECRET_MAX_BYTES // 1024} KiB"
        raise Error("compose_invalid", message, "share large files as a directory: volumes")
    return value


def down(hands: Hands, project: str, grace_s: float | None, *, volumes: bool = False) -> bool:
    """Stop and delete all machines of the project, then its networks and secrets; with `volumes`, also the volumes that
    were made for it. Returns whether there was anything to delete."""
    members = look(hands, project)
    networks = find_own(_records(hands.call(calls.networks_list())), project)
    secrets = find_own(_records(hands.call(calls.secrets_list())), project)
    take_down(hands, members, grace_s)
    _delete_all(hands, "network", networks, calls.networks_delete, NoSuchNetwork)
    _delete_all(hands, "secret", secrets, calls.secrets_delete, NoSuchSecret)
    made = find_own(_records(hands.call(calls.volumes_list())), project) if volumes else []
    _delete_all(hands, "volume", made, calls.volumes_delete, NoSuchVolume)
    return bool(members or networks or secrets or made)


def _delete_all(
    hands: Hands, kind: str, names: Iterable[str], delete: Callable[[str], Call[Any]], gone: type[Error]
) -> None:
    """`gone` is the error for a name that was deleted meanwhile."""
    for name in names:
        try:
            hands.call(delete(name))
            hands.say(f"{kind} {name}", "deleted")
        except gone:
            pass


def take_down(hands: Hands, members: Sequence[Member], grace_s: float | None) -> None:
    """Stop and delete machines, first the machines that need others."""
    for stage in reversed(in_stages(members)):
        stop(hands, stage, grace_s)
        for member in stage:
            try:
                hands.call(calls.machines_delete(member.name, force=True))
                hands.say(member.name, "deleted")
            except NoSuchMachine:
                pass


def stop(hands: Hands, members: Iterable[Member], grace_s: float | None) -> None:
    """Stop the machines that run or are about to start again, all at the same time."""
    names = [member.name for member in members if member.is_live or member.comes_back]
    all_ended(hands, names, lambda name: calls.machines_stop(name, grace_s), "stopped", _ALREADY)


def start(hands: Hands, members: Sequence[Member]) -> None:
    """Start the machines that do not run, first the machines that others need."""
    for stage in in_stages(members):
        names = [member.name for member in stage if not member.is_live]
        all_ended(hands, names, calls.machines_start, "started")


def restart(hands: Hands, members: Sequence[Member], grace_s: float | None) -> None:
    """Stop all, first the machines that need others, and start them again in the other order."""
    for stage in reversed(in_stages(members)):
        stop(hands, stage, grace_s)
    for stage in in_stages(members):
        all_ended(hands, [member.name for member in stage], calls.machines_start, "started")


# A machine that was stopped or deleted by another client, or that ended meanwhile, is as it should be.
_ALREADY = (BadState, NoSuchMachine)


def all_ended(
    hands: Hands,
    names: Iterable[str],
    begin: Callable[[str], Call[object]],
    done: str,
    already: tuple[type[Error], ...] = (),
) -> None:
    """Begin one operation per machine, then wait for all. Raises the first error after that, but no error
    that says that the machine is as it should be `already`."""
    failed: list[Error] = []
    begun: list[tuple[str, object]] = []
    for name in names:
        try:
            begun.append((name, hands.call(begin(name))))
        except Error as exc:
            failed.append(exc)
    for name, operation in begun:
        try:
            hands.finish(operation, name)
            hands.say(name, done)
        except Error as exc:
            failed.append(_of(name, exc))
    for error in failed:
        if not isinstance(error, already):
            raise error


def _of(name: str, exc: Error) -> Error:
    """The error, with the machine that it is about."""
    return Error(exc.code, f"{name}: {exc.message}", exc.hint, exc.details)
