"""What the records of machines and networks say of projects: labels, and nothing else. So a project can be listed and
taken down from any directory, without its file, and after a crash at any moment.

A copy of a machine (a fork, say) has its labels, too, but another name than they say: it belongs to no project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

PROJECT = "banger.project"
SERVICE = "banger.service"
NUMBER = "banger.number"
MACHINE = "banger.machine"
DIGEST = "banger.digest"
DIRECTORY = "banger.directory"
NEEDS = "banger.needs"

_LIVE = ("starting", "running", "paused", "stopping")
_AT_REST = ("stopped", "failed")


@dataclass(frozen=True)
class Member:
    """A machine of a project, as its record is now. `needs` are the services that it depends on; `code` is the exit
    code of its command, None if there is none. `comes_back`: banger is about to start it again."""

    project: str
    service: str
    number: int
    name: str
    digest: str
    directory: str
    needs: tuple[str, ...]
    state: str
    health: str
    code: int | None
    reason: str
    comes_back: bool
    record: Mapping[str, object]

    @property
    def is_live(self) -> bool:
        return self.state in _LIVE

    @property
    def is_running(self) -> bool:
        return self.state in ("running", "paused")

    @property
    def has_ended(self) -> bool:
        return self.state in _AT_REST and not self.comes_back


def find_members(records: Iterable[Mapping[str, object]], project: str = "") -> list[Member]:
    """The machines of the project, or of all projects, by service and number."""
    found = [member for record in records for member in _member(record)]
    mine = [member for member in found if not project or member.project == project]
    return sorted(mine, key=lambda member: (member.project, member.service, member.number))


def find_own(records: Iterable[Mapping[str, object]], project: str) -> list[str]:
    """The names of the networks, volumes or secrets that were made for the project."""
    return sorted(str(record.get("name")) for record in records if labels_of(record).get(PROJECT) == project)


def labels_of(record: Mapping[str, object]) -> Mapping[str, str]:
    """The labels of a network, a volume, a secret or a spec."""
    labels = record.get("labels")
    return labels if isinstance(labels, dict) else {}


def _member(record: Mapping[str, object]) -> Iterator[Member]:
    spec = record.get("spec")
    labels = labels_of(spec) if isinstance(spec, dict) else {}
    number = labels.get(NUMBER, "")
    name = str(record.get("name"))
    if PROJECT not in labels or labels.get(MACHINE) != name or not (number.isascii() and number.isdigit()):
        return
    exit_ = record.get("exit")
    code = exit_.get("code") if isinstance(exit_, dict) else None
    yield Member(
        project=labels[PROJECT],
        service=labels.get(SERVICE, ""),
        number=int(number[:9]),
        name=name,
        digest=labels.get(DIGEST, ""),
        directory=labels.get(DIRECTORY, ""),
        needs=tuple(labels.get(NEEDS, "").split()),
        state=str(record.get("state")),
        health=str(record.get("health") or ""),
        code=code if isinstance(code, int) else None,
        reason=str(record.get("reason") or ""),
        comes_back=record.get("restart_in_s") is not None,
        record=record,
    )


def in_stages(members: Iterable[Member]) -> list[list[Member]]:
    """The machines in stages: each stage needs only machines of earlier stages. A circle, which no file has, becomes
    one stage."""
    rest = [*members]
    stages: list[list[Member]] = []
    while rest:
        waiting = {member.service for member in rest}
        ready = [m for m in rest if not {*m.needs} & (waiting - {m.service})] or rest
        stages.append(ready)
        rest = [member for member in rest if member not in ready]
    return stages
