"""The whole API: every verb and every session, in the order in which they are routed and documented."""

from __future__ import annotations

from typing import Any

from banger.api import (
    access,
    catalogs,
    changes,
    frozen,
    images,
    kernels,
    machines,
    networks,
    secrets,
    system,
    volumes,
)
from banger.api.verb import Session, Verb

VERBS: tuple[Verb[Any, Any], ...] = (
    *machines.VERBS,
    *changes.VERBS,
    *images.VERBS,
    *kernels.VERBS,
    *catalogs.VERBS,
    *frozen.VERBS,
    *networks.VERBS,
    *volumes.VERBS,
    *secrets.VERBS,
    *system.VERBS,
    *access.VERBS,
)
SESSIONS: tuple[Session[Any], ...] = machines.SESSIONS
