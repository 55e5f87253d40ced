"""What a Compose file means: services, and the machines and networks to make of them. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from banger.compose.complaint import Place

Condition: TypeAlias = Literal["service_started", "service_healthy", "service_completed_successfully"]
# Fields of a MachineSpec, as JSON.
Facts: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Dependency:
    """What has to be true of another service before a machine starts. If it is not `required`, the service may be left
    out or fail."""

    service: str
    condition: Condition = "service_started"
    required: bool = True


@dataclass(frozen=True)
class Port:
    """Ports of the host that lead to ports of the guest; `last` ends a range. A `port` 0 means a free one."""

    bind: str
    port: int
    last: int
    guest_port: int
    guest_last: int
    protocol: Literal["tcp", "udp"]
    place: Place


@dataclass(frozen=True)
class Joined:
    """A network that a service is on; `key` is its name in the file."""

    key: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class UsedSecret:
    """A secret that a service uses; `key` is its name in the file, and `use` what a SecretUse has beside the name."""

    key: str
    place: Place
    use: Facts


@dataclass(frozen=True)
class Service:
    """`spec` has what all machines of the service have in common. `machine_name` is set if the file names the one
    machine itself. `volumes` are mounts with the names that volumes have in the file."""

    name: str
    place: Place
    spec: Facts
    replicas: int = 1
    machine_name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    networks: tuple[Joined, ...] = ()
    volumes: tuple[Facts, ...] = ()
    secrets: tuple[UsedSecret, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProjectNetwork:
    """`name` is what the daemon calls it. An `external` network exists already."""

    key: str
    name: str
    internal: bool = False
    external: bool = False
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProjectVolume:
    """`name` is what the daemon calls it. An `external` volume exists already. `size_bytes` 0 means the usual size."""

    key: str
    name: str
    external: bool = False
    size_bytes: int = 0
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProjectSecret:
    """`name` is what the daemon calls it. Its value is what the `file` has, or `value`, that of the `variable`; an
    `external` secret is set already."""

    key: str
    name: str
    file: str = ""
    variable: str = ""
    value: str | None = field(default=None, repr=False)
    external: bool = False
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """`directory` is where relative paths begin. `services` are in the order of their dependencies; `known`
    are the names of all services of the file, chosen or not."""

    name: str
    directory: str
    services: dict[str, Service]
    networks: dict[str, ProjectNetwork]
    volumes: dict[str, ProjectVolume] = field(default_factory=dict)
    secrets: dict[str, ProjectSecret] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
