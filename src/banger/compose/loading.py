"""From a directory or a file to a project: which file, which variables, which name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

import msgspec

from banger.compose import refused
from banger.compose.complaint import Place, refuse
from banger.compose.naming import machine_name, name_of_directory, plain_name
from banger.compose.plan import plan_spec
from banger.compose.ports import describe_port
from banger.compose.project import Project, ProjectNetwork, ProjectVolume, Service
from banger.compose.reading import Reader, is_null
from banger.compose.secrets import read_secrets
from banger.compose.services import ServiceReader, read_labels
from banger.compose.tree import SIZE_MAX, Node, read_tree
from banger.compose.variables import Variables, read_env_file
from banger.errors import Error
from banger.model.machine import MachineSpec
from banger.model.names import MAX_LENGTH, check_name
from banger.model.volume import check_volume_name

FILES = (
    "banger.yaml", "banger.yml", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml",
)  # fmt: skip
STDIN = "-"
_ROOT = ("version", "name", "services", "networks", "volumes", "secrets")
_NETWORK = ("name", "internal", "external", "driver", "labels", "enable_ipv6", "attachable")
_VOLUME = ("name", "external", "driver", "driver_opts", "labels")
_DEFAULT = "default"


class Asked(NamedTuple):
    """What the user asks of a file. `services` empty means all; `environ` is the user's environment; `image` makes the
    paths in a reference absolute."""

    file: str = ""
    name: str = ""
    directory: str = "."
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    scale: Mapping[str, int] = {}
    environ: Mapping[str, str] = {}
    image: Callable[[str], str] = lambda ref: ref


def find_file(directory: str) -> str:
    """The first of `FILES` in the directory. Raises `project_not_found`."""
    for name in FILES:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return os.path.normpath(path)
    raise Error(
        "project_not_found",
        f"there is no Compose file in {os.path.abspath(directory)}",
        f"write one of {', '.join(FILES[:3])}, or name a file with --file",
    )


def load_project(asked: Asked) -> Project:
    """Raises `compose_invalid`, `project_not_found`, `service_not_found`."""
    path = asked.file or find_file(asked.directory)
    directory = os.path.abspath(asked.directory if path == STDIN else os.path.dirname(path) or ".")
    data = _read(path, None, SIZE_MAX)
    return read_project("<stdin>" if path == STDIN else path, data, directory, asked)


def read_project(path: str, data: bytes, directory: str, asked: Asked) -> Project:
    """The project that these bytes of a file mean. Raises `compose_invalid`, `service_not_found`."""
    variables = Variables(_environment(asked, directory))
    return _Loader(asked, directory, Reader(variables), read_tree(path, data)).project()


def _environment(asked: Asked, directory: str) -> dict[str, str]:
    """The variables of `.env` or of the files that the user names, and over them the user's environment."""
    found: dict[str, str] = {}
    for path in asked.env_files:
        found |= read_env_file(path, _read(path, None, SIZE_MAX), {**found, **asked.environ})
    default = os.path.join(directory, ".env")
    if not asked.env_files and os.path.isfile(default):
        found = read_env_file(default, _read(default, None, SIZE_MAX), asked.environ)
    return {**found, **asked.environ}


def _read(path: str, place: Place | None, limit: int) -> bytes:
    """At most one byte more than the limit, which the caller refuses."""
    try:
        if path == STDIN:
            return sys.stdin.buffer.read(limit + 1)
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        if place is not None:
            raise refuse(place, f"cannot read {path}: {why}") from exc
        raise Error("project_not_found", f"cannot read {path}: {why}") from exc


class _Loader:
    """Makes the project of one tree."""

    def __init__(self, asked: Asked, directory: str, reader: Reader, tree: Node) -> None:
        self._asked = asked
        self._directory = directory
        self._reader = reader
        self._tree = tree
        self._warnings: list[str] = []

    def project(self) -> Project:
        reader, asked = self._reader, self._asked
        fields = reader.fields(self._tree, "a Compose file", _ROOT, refused.PROJECT)
        if "version" in fields:
            self._warnings.append(
                f"{fields['version'].place}: version has no meaning any more; leave the key out"
            )
        name = self._name(fields)
        if "services" not in fields:
            raise refuse(self._tree.place, "no services", "write services: and below it a name: for each")
        services = self._services(fields["services"])
        networks = self._networks(name, fields.get("networks"), services.values())
        volumes = self._volumes(name, fields.get("volumes"), services.values())
        secrets = read_secrets(reader, name, self._directory, fields.get("secrets"), services.values())
        chosen = _in_order(_chosen(services, asked.services, self._profiles()))
        self._check_machines(name, chosen)
        for variable, place in reader.variables.unset.items():
            self._warnings.append(f"{place}: the variable {variable} is not set; it counts as empty")
        used = {joined.key for service in chosen.values() for joined in service.networks}
        mounted = {mount["volume"] for service in chosen.values() for mount in service.volumes}
        needed = {used.key for service in chosen.values() for used in service.secrets}
        project = Project(
            name=name,
            directory=self._directory,
            services=chosen,
            networks={key: network for key, network in networks.items() if key in used},
            volumes={key: volume for key, volume in volumes.items() if key in mounted},
            secrets={key: secret for key, secret in secrets.items() if key in needed},
            known=tuple(services),
            warnings=tuple(self._warnings),
        )
        for service in chosen.values():
            _check_spec(project, service)
        return project

    def _name(self, fields: Mapping[str, Node]) -> str:
        variables = self._reader.variables.values
        if given := self._asked.name or variables.get("COMPOSE_PROJECT_NAME", ""):
            return check_name(plain_name(given))
        if "name" in fields:
            text = self._reader.text(fields["name"], "name")
            if not plain_name(text):
                raise refuse(fields["name"].place, f"{text!r} cannot be the name of a project")
            return plain_name(text)
        return name_of_directory(self._directory)

    def _profiles(self) -> Collection[str]:
        named = self._reader.variables.values.get("COMPOSE_PROFILES", "")
        return {*self._asked.profiles, *filter(None, named.split(","))}

    def _services(self, node: Node) -> dict[str, Service]:
        read = ServiceReader(self._reader, self._env_file, self._image, self._directory)
        found: dict[str, Service] = {}
        for name, place, value in self._reader.entries(node, "services"):
            if is_null(value):
                raise refuse(place, f"service {name} has no image", "write image: below it")
            found[name] = read.read(name, place, value)
        if not found:
            raise refuse(node.place, "no services", "write a name: for each service below services:")
        for service in found.values():
            _check_dependencies(service, found)
        return (
            {name: self._scaled(service) for name, service in found.items()} if self._scales(found) else found
        )

    def _scales(self, services: Mapping[str, Service]) -> bool:
        for name in self._asked.scale:
            if name not in services:
                raise _no_service(name, services)
        return bool(self._asked.scale)

    def _scaled(self, service: Service) -> Service:
        replicas = self._asked.scale.get(service.name, service.replicas)
        if service.machine_name and replicas > 1:
            raise refuse(
                service.place, f"{replicas} machines cannot have the one name {service.machine_name}"
            )
        return replace(service, replicas=replicas)

    def _image(self, ref: str) -> str:
        return self._asked.image(ref)

    def _env_file(self, path: str, node: Node, required: bool) -> Mapping[str, str]:
        whole = os.path.join(self._directory, os.path.expanduser(path))
        if not required and not os.path.exists(whole):
            return {}
        return read_env_file(whole, _read(whole, node.place, SIZE_MAX), self._reader.variables.values)

    def _networks(
        self, project: str, node: Node | None, services: Iterable[Service]
    ) -> dict[str, ProjectNetwork]:
        found = {_DEFAULT: ProjectNetwork(_DEFAULT, f"{project}-{_DEFAULT}")}
        for key, place, value in self._reader.entries(node, "networks") if node is not None else ():
            found[key] = self._network(project, key, place, value)
        for service in services:
            for joined in service.networks:
                if joined.key not in found:
                    raise refuse(
                        service.place,
                        f"service {service.name} is on the network {joined.key!r}, which the file does not have",
                        f"add networks: {{{joined.key}: }} to the file",
                    )
        return found

    def _network(self, project: str, key: str, place: Place, node: Node) -> ProjectNetwork:
        reader = self._reader
        fields = {} if is_null(node) else reader.fields(node, f"network {key}", _NETWORK, refused.NETWORK)
        if "driver" in fields:
            reader.one_of(fields["driver"], "driver", ("bridge",))
        external = "external" in fields and reader.flag(fields["external"], "external")
        name = reader.text(fields["name"], "name") if "name" in fields else ""
        name = name or (key if external else f"{project}-{plain_name(key)}")
        try:
            check_name(name)
        except Error as exc:
            raise refuse(place, f"the network {key} cannot be made: {exc.message}", exc.hint) from exc
        return ProjectNetwork(
            key=key,
            name=name,
            internal="internal" in fields and reader.flag(fields["internal"], "internal"),
            external=external,
            labels=read_labels(reader, fields.get("labels")),
        )

    def _volumes(
        self, project: str, node: Node | None, services: Iterable[Service]
    ) -> dict[str, ProjectVolume]:
        entries = self._reader.entries(node, "volumes") if node is not None and not is_null(node) else ()
        found = {key: self._volume(project, key, place, value) for key, place, value in entries}
        for service in services:
            for mount in service.volumes:
                name = mount["volume"]
                if name not in found:
                    raise refuse(
                        service.place,
                        f"service {service.name} mounts the volume {name!r}, which the file does not have",
                        f"add volumes: {{{name}: }} to the file, or write ./{name} for a directory",
                    )
                if service.replicas > 1 and not mount["read_only"]:
                    raise refuse(
                        service.place,
                        f"{service.replicas} machines of service {service.name} cannot write to one volume",
                        "give it one replica, or mount the volume read only",
                    )
        return found

    def _volume(self, project: str, key: str, place: Place, node: Node) -> ProjectVolume:
        reader = self._reader
        fields = {} if is_null(node) else reader.fields(node, f"volume {key}", _VOLUME, refused.VOLUME)
        if "driver" in fields:
            reader.one_of(fields["driver"], "driver", ("local",))
        options = (
            reader.fields(fields["driver_opts"], "driver_opts", ("size",), {})
            if "driver_opts" in fields
            else {}
        )
        external = "external" in fields and reader.flag(fields["external"], "external")
        name = reader.text(fields["name"], "name") if "name" in fields else ""
        try:
            return ProjectVolume(
                key=key,
                name=check_volume_name(name or (key if external else f"{project}_{key}")),
                external=external,
                size_bytes=reader.size_bytes(options["size"], "size") if "size" in options else 0,
                labels=read_labels(reader, fields.get("labels")),
            )
        except Error as exc:
            raise refuse(place, f"the volume {key} cannot be made: {exc.message}", exc.hint) from exc

    def _check_machines(self, project: str, services: Mapping[str, Service]) -> None:
        """Each machine has a name that can be one, no two have the same, and no two publish the same port."""
        names: dict[str, str] = {}
        for service in services.values():
            for number in range(1, max(1, service.replicas) + 1):
                name = machine_name(project, service, number)
                if len(name) > MAX_LENGTH:
                    raise refuse(service.place, f"the name {name} is longer than {MAX_LENGTH} characters")
                if other := names.get(name):
                    raise refuse(
                        service.place, f"the services {other} and {service.name} have the same machine {name}"
                    )
                names[name] = service.name
                for port in service.ports:
                    describe_port(port, number, service.replicas)


def _check_spec(project: Project, service: Service) -> None:
    """What a request to the daemon cannot have is refused here, with its place."""
    try:
        msgspec.convert(plan_spec(project, service, 1), MachineSpec)
    except msgspec.ValidationError as exc:
        raise refuse(service.place, f"no machine can be as service {service.name} says: {exc}") from exc


def _check_dependencies(service: Service, services: Mapping[str, Service]) -> None:
    for dependency in service.depends_on:
        other = services.get(dependency.service)
        if other is None and dependency.required:
            raise refuse(
                service.place,
                f"service {service.name} depends on {dependency.service!r}, which the file does not have",
            )
        if other and dependency.condition == "service_healthy" and "healthcheck" not in other.spec:
            raise refuse(
                service.place,
                f"service {service.name} waits until {other.name} is healthy, but {other.name} has no healthcheck",
                f"add healthcheck: to {other.name}",
            )


def _no_service(name: str, services: Collection[str]) -> Error:
    return Error(
        "service_not_found",
        f"there is no service {name!r}",
        f"services: {', '.join(sorted(services)) or 'none'}",
    )


def _chosen(
    services: Mapping[str, Service], asked: Collection[str], profiles: Collection[str]
) -> dict[str, Service]:
    """The services that the user asked for with all that they depend on, or all whose profile is chosen."""
    for name in asked:
        if name not in services:
            raise _no_service(name, services)
    is_active = {
        name: not service.profiles or bool({*service.profiles} & {*profiles, "*"} or "*" in profiles)
        for name, service in services.items()
    }
    waiting = [*asked] or [name for name, active in is_active.items() if active]
    found: dict[str, Service] = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        service = found[name] = services[name]
        for dependency in service.depends_on:
            other = services.get(dependency.service)
            if other is None or (not dependency.required and not is_active[other.name]):
                continue
            if not is_active[other.name] and other.name not in asked:
                raise refuse(
                    service.place,
                    f"service {name} depends on {other.name}, whose profile is not chosen",
                    f"add --profile {other.profiles[0]}",
                )
            waiting.append(other.name)
    return {name: service for name, service in services.items() if name in found}


def _in_order(services: dict[str, Service]) -> dict[str, Service]:
    """Each service after the services that it depends on."""
    graph = {
        name: [other.service for other in service.depends_on if other.service in services]
        for name, service in services.items()
    }
    try:
        order = [*TopologicalSorter(graph).static_order()]
    except CycleError as exc:
        circle = exc.args[1][::-1]
        raise refuse(
            services[circle[0]].place, f"services depend on one another: {' -> '.join(circle)}"
        ) from exc
    return {name: services[name] for name in order}
