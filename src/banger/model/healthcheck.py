"""The check of a machine's health that its user asks for: a command in the guest, and when it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from banger.model.command import Bytes

# "": the machine has no check, or does not run.
HealthState = Literal["", "starting", "healthy", "unhealthy"]

Pause = Annotated[float, Meta(ge=0.5, le=86_400)]


class HealthCheck(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`test` is a command that runs in the guest as the user of the main command, with its variables and its working
    directory; exit code 0 means healthy. `retries` failures in a row, `interval_s` apart, make the machine unhealthy; a
    check that takes longer than `timeout_s` is a failure. Until the first success, checks are at most
    `start_interval_s` apart, and failures do not count for `start_period_s` (at least one interval)."""

    test: Annotated[tuple[Bytes, ...], Meta(min_length=1, max_length=1024)]
    interval_s: Pause = 30
    timeout_s: Pause = 30
    retries: Annotated[int, Meta(ge=1, le=1000)] = 3
    start_period_s: Annotated[float, Meta(ge=0, le=86_400)] = 0
    start_interval_s: Pause = 5
