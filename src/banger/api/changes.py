"""What can be changed of a machine that exists: requests and verbs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from banger.api.machines import _OPERATION as _ERRORS_OF_OPERATIONS
from banger.api.machines import OneMachine
from banger.api.verb import Verb
from banger.model.labels import Labels
from banger.model.machine import RESTART_PATTERN, Machine
from banger.model.operation import Operation

_M = "/v1/machines/{machine}"


class RenameMachine(OneMachine):
    """`name` is the new name of the machine."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]


class UpdateMachine(OneMachine):
    """Each field that is given replaces what the machine was made with; the spec of a machine says what each means.
    Limits apply to a running machine at once, but a limit of a running machine cannot be removed. `cpus` and
    `memory_mib` can change while the machine does not run, and `disk_bytes` before its first start. `labels` are added
    to the labels that the machine has, and a label of `remove_labels` goes. `ttl_s` counts from now on."""

    cpu_limit: Annotated[float, Meta(ge=0, le=4096)] | None = None
    memory_limit_bytes: Annotated[int, Meta(ge=0, le=1 << 60)] | None = None
    pids_limit: Annotated[int, Meta(ge=0, le=1 << 22)] | None = None
    io_limit_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] | None = None
    iops_limit: Annotated[int, Meta(ge=0, le=1 << 30)] | None = None
    restart: Annotated[str, Meta(pattern=RESTART_PATTERN)] | None = None
    ttl_s: Annotated[float, Meta(ge=0, le=31_536_000)] | None = None
    cpus: Annotated[int, Meta(ge=1, le=64)] | None = None
    memory_mib: Annotated[int, Meta(ge=64, le=1024 * 1024)] | None = None
    disk_bytes: Annotated[int, Meta(ge=0)] | None = None
    labels: Labels = field(default_factory=dict)
    remove_labels: Annotated[list[str], Meta(max_length=64)] = field(default_factory=list)


class ResetMachine(OneMachine):
    """`force` kills a running machine first."""

    force: bool = False


# fmt: off
RENAME = Verb(
    name="machines.rename", summary="Give a machine another name", method="POST", path=_M + "/rename",
    request=RenameMachine, result=Machine,
    errors=(
        *("machine_not_found", "bad_name", "name_taken", "bad_state", "network_full", "network_not_found"),
        "frozen_damaged",
    ),
    example={"machine": "dev", "name": "web"},
)
UPDATE = Verb(
    name="machines.update", summary="Change limits, restart policy, size, time to live or labels of a machine",
    method="POST", path=_M + "/update", request=UpdateMachine, result=Machine,
    errors=("machine_not_found", "bad_state", "limit_unenforceable", "vmm_failed"),
    example={"machine": "dev", "restart": "always", "cpu_limit": 0.5},
)
RESET = Verb(
    name="machines.reset", summary="Throw away all that changed on a machine's disk", method="POST",
    path=_M + "/reset", request=ResetMachine, result=Operation[Machine], status=202,
    errors=_ERRORS_OF_OPERATIONS, example={"machine": "dev", "force": True},
)
VERBS = (RENAME, UPDATE, RESET)
