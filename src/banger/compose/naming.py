"""Names that projects and services give: machines and networks may have fewer characters than a Compose file. Pure."""

from __future__ import annotations

import os
import re

from banger.compose.project import Service

_DEFAULT = "default"


def plain_name(text: str) -> str:
    """The name with the characters that names of machines have."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def name_of_directory(directory: str) -> str:
    """The name of a project whose file does not say one."""
    return plain_name(os.path.basename(os.path.abspath(directory))) or _DEFAULT


def machine_name(project: str, service: Service, number: int) -> str:
    return service.machine_name or f"{project}-{plain_name(service.name)}-{number}"
