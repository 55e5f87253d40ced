"""One service of a Compose file: its keys become fields of a MachineSpec."""

from __future__ import annotations

import ipaddress
import math
import re
import signal
from collections.abc import Callable, Mapping
from typing import cast, get_args

from banger.compose import refused
from banger.compose.complaint import Place, refuse
from banger.compose.mounts import read_mount
from banger.compose.ports import read_port
from banger.compose.project import Condition, Dependency, Facts, Joined, Service
from banger.compose.reading import Reader, is_null, mapped
from banger.compose.secret_uses import read_use
from banger.compose.tree import Mapping as Map
from banger.compose.tree import Node, Sequence
from banger.errors import Error
from banger.model.labels import NAME_MAX, VALUE_MAX
from banger.model.machine import RESTART_PATTERN
from banger.model.names import check_name

# The variables of a file, by the path that the project names.
ReadFile = Callable[[str, Node, bool], Mapping[str, str]]
ReadImage = Callable[[str], str]

_MIB = 1024 * 1024
_LEAST_MEMORY_MIB = 64
_REPLICAS_MOST = 256
_DEFAULT_NETWORK = "default"
OWN_LABELS = "banger."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_RESTART = re.compile(RESTART_PATTERN)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_CONDITIONS: tuple[Condition, ...] = get_args(Condition)
_POLICIES = ("none", "internet", "lan", "host")

KNOWN = (
    "image command entrypoint environment env_file ports expose depends_on healthcheck networks network_mode restart "
    "deploy scale mem_limit cpus hostname container_name labels working_dir user dns extra_hosts stop_signal "
    "stop_grace_period profiles tty stdin_open init pull_policy volumes secrets x-banger"
).split()
_BANGER = "disk kernel init network allow deny io_limit iops_limit idle_pause".split()
_HEALTHCHECK = "test interval timeout retries start_period start_interval disable".split()


class ServiceReader:
    """Reads the services of one project, whose file is in `directory`. `image` makes the paths in a reference
    absolute."""

    def __init__(self, reader: Reader, read_file: ReadFile, image: ReadImage, directory: str) -> None:
        self._reader = reader
        self._read_file = read_file
        self._image = image
        self._directory = directory

    def read(self, name: str, place: Place, node: Node) -> Service:
        """Raises `compose_invalid`."""
        if not _NAME.fullmatch(name):
            raise refuse(place, f"{name!r} cannot be the name of a service", "use a-z, 0-9, '-', '_' and '.'")
        reader = self._reader
        fields = reader.fields(node, f"service {name}", KNOWN, refused.SERVICE)
        if "image" not in fields:
            raise refuse(
                place, f"service {name} has no image", "write image: debian-bookworm, or another image"
            )
        spec: Facts = {"image": self._image(reader.text(fields["image"], "image"))}
        spec |= {"command": self._command(fields)}
        deploy = self._deploy(fields)
        spec |= (
            self._size(fields, deploy) | self._network(fields) | self._ending(fields) | self._banger(fields)
        )
        if "healthcheck" in fields and (check := self._healthcheck(fields["healthcheck"])):
            spec["healthcheck"] = check
        volumes: list[Facts] = []
        if "volumes" in fields:
            items = reader.items(fields["volumes"], "volumes")
            mounts = [read_mount(reader, item, self._directory) for item in items]
            spec["mounts"] = [mount for mount in mounts if "source" in mount]
            volumes = [mount for mount in mounts if "volume" in mount]
        self._settled(fields)
        replicas = self._replicas(fields, deploy)
        return Service(
            name=name,
            place=place,
            spec=spec,
            replicas=replicas,
            machine_name=self._machine_name(fields, replicas),
            labels=read_labels(reader, fields.get("labels")),
            ports=tuple(read_port(reader, port) for port in reader.items(fields["ports"], "ports"))
            if "ports" in fields
            else (),
            networks=self._joined(name, fields),
            volumes=tuple(volumes),
            secrets=tuple(read_use(reader, item) for item in reader.items(fields["secrets"], "secrets"))
            if "secrets" in fields
            else (),
            depends_on=self._depends_on(fields.get("depends_on")),
            profiles=tuple(mapped(fields, "profiles", reader.texts) or ()),
        )

    def _command(self, fields: Mapping[str, Node]) -> Facts:
        reader = self._reader
        command: Facts = {}
        if "entrypoint" in fields:
            command["entrypoint"] = reader.words(fields["entrypoint"], "entrypoint")
        if "command" in fields:
            command["argv"] = reader.words(fields["command"], "command")
        if env := self._environment(fields):
            command["env"] = env
        for name, field in (("working_dir", "cwd"), ("user", "user")):
            if name in fields:
                command[field] = reader.text(fields[name], name)
        for name, field in (("tty", "tty"), ("stdin_open", "stdin")):
            if name in fields and reader.flag(fields[name], name):
                command[field] = True
        return command

    def _environment(self, fields: Mapping[str, Node]) -> dict[str, str]:
        reader = self._reader
        env: dict[str, str] = {}
        for node in _as_list(fields.get("env_file")):
            env |= self._env_file(node)
        if "environment" in fields:
            for name, (value, place) in reader.pairs(fields["environment"], "environment").items():
                if not name or "=" in name or "\0" in name:
                    raise refuse(place, f"{name!r} is not a variable", "write it like NAME: value")
                if value is None:
                    value = reader.variables.values.get(name)
                if value is not None:
                    env[name] = value
        return env

    def _env_file(self, node: Node) -> Mapping[str, str]:
        reader = self._reader
        if not isinstance(node, Map):
            return self._read_file(reader.text(node, "env_file"), node, True)
        fields = reader.fields(node, "env_file", ("path", "required"), refused.ENV_FILE)
        if "path" not in fields:
            raise refuse(node.place, "env_file without path")
        required = "required" not in fields or reader.flag(fields["required"], "required")
        return self._read_file(reader.text(fields["path"], "path"), fields["path"], required)

    def _size(self, fields: Mapping[str, Node], deploy: Mapping[str, Node]) -> Facts:
        """Processors and memory: of the machine, so a limit is also what the guest has."""
        cpus, memory = fields.get("cpus"), fields.get("mem_limit")
        if "resources" in deploy:
            resources = self._reader.fields(deploy["resources"], "resources", ("limits",), refused.RESOURCES)
            if "limits" in resources:
                limits = self._reader.fields(
                    resources["limits"], "limits", ("cpus", "memory"), refused.LIMITS
                )
                cpus, memory = limits.get("cpus", cpus), limits.get("memory", memory)
        return self._cpus(cpus) | self._memory(memory)

    def _deploy(self, fields: Mapping[str, Node]) -> dict[str, Node]:
        if "deploy" not in fields:
            return {}
        known = ("replicas", "resources", "mode", "labels")
        deploy = self._reader.fields(fields["deploy"], "deploy", known, refused.DEPLOY)
        if "mode" in deploy:
            self._reader.one_of(deploy["mode"], "mode", ("replicated",))
        return deploy

    def _cpus(self, node: Node | None) -> Facts:
        if node is None:
            return {}
        cpus = self._reader.number(node, "cpus")
        if not 0.01 <= cpus <= 64:
            raise refuse(node.place, f"{cpus:g} processors: from 0.01 to 64 are possible")
        limit: Facts = {} if cpus == int(cpus) else {"cpu_limit": cpus}
        return {"cpus": math.ceil(cpus), **limit}

    def _memory(self, node: Node | None) -> Facts:
        if node is None:
            return {}
        mebibytes = -(-self._reader.size_bytes(node, "memory") // _MIB)
        if not _LEAST_MEMORY_MIB <= mebibytes <= _MIB:
            raise refuse(
                node.place,
                f"a machine cannot have {mebibytes} MiB of memory",
                f"it needs at least {_LEAST_MEMORY_MIB} MiB for its kernel and its programs",
            )
        return {"memory_mib": mebibytes}

    def _network(self, fields: Mapping[str, Node]) -> Facts:
        reader = self._reader
        found: Facts = {}
        if "network_mode" in fields:
            reader.one_of(fields["network_mode"], "network_mode", ("none",))
            found["network"] = "none"
        if "hostname" in fields:
            hostname = reader.text(fields["hostname"], "hostname")
            if not _HOST.fullmatch(hostname):
                raise refuse(
                    fields["hostname"].place,
                    f"{hostname!r} is not a host name",
                    "use letters, digits and '-'",
                )
            found["hostname"] = hostname
        if "dns" in fields:
            for node in _as_list(fields["dns"]):
                _check_address(reader.text(node, "dns"), node.place)
            found["dns"] = reader.texts(fields["dns"], "dns")
        if "extra_hosts" in fields:
            found["hosts"] = self._extra_hosts(fields["extra_hosts"])
        return found

    def _extra_hosts(self, node: Node) -> list[str]:
        reader, hosts = self._reader, []
        if isinstance(node, Map):
            pairs = [
                (name, reader.text(value, name), value.place) for name, _, value in reader.entries(node, "")
            ]
        else:
            pairs = []
            for item in reader.items(node, "extra_hosts"):
                text = reader.text(item, "extra_hosts")
                name, _, address = text.partition("=" if "=" in text else ":")
                pairs.append((name, address, item.place))
        for name, address, place in pairs:
            if address == "host-gateway":
                raise refuse(
                    place,
                    "host-gateway is not supported",
                    "the host is host.banger.internal, with x-banger: {network: host}",
                )
            _check_address(address.strip("[]"), place)
            if not all(map(_HOST.fullmatch, name.split("."))) or len(name) > 253:
                raise refuse(place, f"{name!r} is not a host name", "use letters, digits, '-' and '.'")
            hosts.append(f"{name}:{address.strip('[]')}")
        return hosts

    def _ending(self, fields: Mapping[str, Node]) -> Facts:
        """How the machine stops, and whether it starts again."""
        reader = self._reader
        found: Facts = {}
        if "restart" in fields:
            restart = reader.text(fields["restart"], "restart")
            if not _RESTART.fullmatch(restart):
                raise refuse(
                    fields["restart"].place,
                    f"restart {restart!r} is not supported",
                    "write one of: no, always, unless-stopped, on-failure, on-failure:N",
                )
            found["restart"] = restart
        if "stop_signal" in fields:
            found["stop_signal"] = self._signal(fields["stop_signal"])
        if "stop_grace_period" in fields:
            found["stop_grace_s"] = reader.seconds(fields["stop_grace_period"], "stop_grace_period", 3600)
        return found

    def _signal(self, node: Node) -> str:
        name = self._reader.text(node, "stop_signal").upper()
        number = int(name) if name.isascii() and name.isdigit() and len(name) < 4 else 0
        base = name.removeprefix("SIG").partition("+")[0]
        if not (0 < number <= signal.SIGRTMAX or "SIG" + base in signal.Signals.__members__):
            raise refuse(node.place, f"{name!r} is not a signal", "write it like SIGTERM")
        return name

    def _banger(self, fields: Mapping[str, Node]) -> Facts:
        """`x-banger`: what the Compose specification has no keys for."""
        if "x-banger" not in fields:
            return {}
        reader = self._reader
        own = reader.fields(fields["x-banger"], "x-banger", _BANGER, refused.BANGER)
        found: Facts = {}
        for name, field in (("disk", "disk_bytes"), ("io_limit", "io_limit_bytes")):
            if name in own:
                found[field] = reader.size_bytes(own[name], name)
        for name in ("allow", "deny"):
            if name in own:
                found[name] = reader.texts(own[name], name)
        if "kernel" in own:
            found["kernel"] = reader.text(own["kernel"], "kernel")
        if "init" in own:
            found["init"] = reader.one_of(own["init"], "init", ("agent", "image", "entrypoint"))
        if "network" in own:
            found["network"] = reader.one_of(own["network"], "network", _POLICIES)
        if "iops_limit" in own:
            found["iops_limit"] = reader.whole(own["iops_limit"], "iops_limit", 1, 1 << 30)
        if "idle_pause" in own:
            found["idle_pause_s"] = reader.seconds(own["idle_pause"], "idle_pause")
        return found

    def _healthcheck(self, node: Node) -> Facts:
        reader = self._reader
        fields = reader.fields(node, "healthcheck", _HEALTHCHECK, refused.HEALTHCHECK)
        if "disable" in fields and reader.flag(fields["disable"], "disable"):
            return {}
        if "test" not in fields:
            raise refuse(node.place, "healthcheck without test", 'write it like test: ["CMD", "program"]')
        test = self._test(fields["test"])
        if not test:
            return {}
        found: Facts = {"test": test}
        for name in ("interval", "timeout", "start_interval"):
            if name in fields:
                value = reader.seconds(fields[name], name)
                if value < 0.5:
                    raise refuse(fields[name].place, f"{name} of less than half a second")
                found[f"{name}_s"] = value
        if "start_period" in fields:
            found["start_period_s"] = reader.seconds(fields["start_period"], "start_period")
        if "retries" in fields:
            found["retries"] = reader.whole(fields["retries"], "retries", 1, 1000)
        return found

    def _test(self, node: Node) -> list[str]:
        """The command; empty for none."""
        if not isinstance(node, Sequence):
            return ["/bin/sh", "-c", self._reader.text(node, "test")]
        words = self._reader.texts(node, "test")
        kind = words[0] if words else ""
        if kind == "NONE" and len(words) == 1:
            return []
        if kind == "CMD-SHELL" and len(words) == 2:
            return ["/bin/sh", "-c", words[1]]
        if kind == "CMD" and len(words) > 1:
            return words[1:]
        raise refuse(
            node.place, "test does not begin with CMD, CMD-SHELL or NONE", 'write it like ["CMD", "program"]'
        )

    def _settled(self, fields: Mapping[str, Node]) -> None:
        """Keys that may only say what is true of every machine."""
        reader = self._reader
        if "init" in fields and not reader.flag(fields["init"], "init"):
            raise refuse(
                fields["init"].place,
                "init: false is not supported",
                "process 1 is banger's agent; x-banger: {init: entrypoint} makes it the command",
            )
        if "pull_policy" in fields:
            reader.one_of(fields["pull_policy"], "pull_policy", ("missing", "if_not_present"))
        for node in _as_list(fields.get("expose")):  # neighbours on a network reach every port anyway
            reader.text(node, "expose")

    def _replicas(self, fields: Mapping[str, Node], deploy: Mapping[str, Node]) -> int:
        node = deploy.get("replicas", fields.get("scale"))
        return 1 if node is None else self._reader.whole(node, "replicas", 0, _REPLICAS_MOST)

    def _machine_name(self, fields: Mapping[str, Node], replicas: int) -> str:
        node = fields.get("container_name")
        if node is None:
            return ""
        name = self._reader.text(node, "container_name")
        if replicas > 1:
            raise refuse(node.place, f"{replicas} machines cannot have the one name {name}")
        try:
            return check_name(name)
        except Error as exc:
            raise refuse(node.place, exc.message, exc.hint) from exc

    def _joined(self, service: str, fields: Mapping[str, Node]) -> tuple[Joined, ...]:
        reader, node = self._reader, fields.get("networks")
        if "network_mode" in fields:
            if node is not None:
                raise refuse(node.place, "networks beside network_mode", "leave out one of the two")
            return ()
        if node is None:
            return (Joined(_DEFAULT_NETWORK),)
        if not isinstance(node, Map):
            return tuple(Joined(reader.text(item, "a network")) for item in reader.items(node, "networks"))
        joined = []
        for name, _, value in reader.entries(node, "networks"):
            aliases: list[str] = []
            if not is_null(value):
                known = reader.fields(value, f"network {name}", ("aliases", "priority"), refused.JOINED)
                aliases = [reader.text(item, "an alias") for item in _as_list(known.get("aliases"))]
                for alias, item in zip(aliases, _as_list(known.get("aliases")), strict=True):
                    if not _NAME.fullmatch(alias):
                        raise refuse(item.place, f"{alias!r} cannot be a name", "use letters, digits and '-'")
            joined.append(Joined(name, tuple(aliases)))
        return tuple(joined)

    def _depends_on(self, node: Node | None) -> tuple[Dependency, ...]:
        reader = self._reader
        if node is None:
            return ()
        if not isinstance(node, Map):
            return tuple(
                Dependency(reader.text(item, "depends_on")) for item in reader.items(node, "depends_on")
            )
        return tuple(self._dependency(name, value) for name, _, value in reader.entries(node, "depends_on"))

    def _dependency(self, name: str, node: Node) -> Dependency:
        if is_null(node):
            return Dependency(name)
        reader = self._reader
        fields = reader.fields(node, f"dependency {name}", ("condition", "required"), refused.DEPENDENCY)
        condition: Condition = "service_started"
        if "condition" in fields:
            condition = cast(Condition, reader.one_of(fields["condition"], "condition", _CONDITIONS))
        required = "required" not in fields or reader.flag(fields["required"], "required")
        return Dependency(name, condition, required)


def read_labels(reader: Reader, node: Node | None) -> dict[str, str]:
    """Labels of a service or a network. Raises `compose_invalid`."""
    found: dict[str, str] = {}
    for name, (value, place) in reader.pairs(node, "labels").items() if node is not None else ():
        if name.startswith(OWN_LABELS):
            raise refuse(place, f"labels that begin with {OWN_LABELS!r} are banger's own", "use another name")
        if not 0 < len(name) <= NAME_MAX or len(value or "") > VALUE_MAX:
            raise refuse(
                place, f"a label's name has 1 to {NAME_MAX} characters, its value at most {VALUE_MAX}"
            )
        found[name] = value or ""
    if len(found) > 48 and node is not None:
        raise refuse(node.place, f"{len(found)} labels are too many", "use at most 48")
    return found


def _as_list(node: Node | None) -> list[Node]:
    if node is None:
        return []
    return node.items if isinstance(node, Sequence) else [node]


def _check_address(text: str, place: Place) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as exc:
        raise refuse(place, f"{text!r} is not an address", "use an IPv4 or IPv6 address") from exc
