"""All verbs and their handlers."""

from __future__ import annotations

from banger.engine import (
    access,
    catalogs,
    changes,
    differences,
    frozen,
    images,
    kernels,
    machines,
    networks,
    secrets,
    sending,
    system,
    volumes,
)
from banger.engine.verbs import HANDLERS

__all__ = [
    "HANDLERS",
    "access",
    "catalogs",
    "changes",
    "differences",
    "frozen",
    "images",
    "kernels",
    "machines",
    "networks",
    "secrets",
    "sending",
    "system",
    "volumes",
]
