"""Records as Docker's --format and `inspect` name their fields, for scripts that were written for Docker."""

from __future__ import annotations

from banger.cli.output import age, part_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_NEVER = "0001-01-01T00:00:00Z"
# Ends of machines that Docker calls OOMKilled.
_FOR_MEMORY = ("oom", "memory_limit")
# States of machines whose name in Docker differs.
STATES = {
    "stopped": "exited",
    "failed": "dead",
    "starting": "created",
    "deleting": "removing",
    "stopping": "running",
}


def docker_state(machine: Json) -> str:
    state = str(machine.get("state", ""))
    return STATES.get(state, state)


def listed_machine(machine: Json) -> Json:
    """The fields of `ps --format`."""
    spec = part_of(machine, "spec")
    labels = part_of(spec, "labels")
    return {
        "ID": machine.get("id", ""),
        "Names": machine.get("name", ""),
        "Name": machine.get("name", ""),
        "Image": spec.get("image", ""),
        "Command": f'"{" ".join(_argv(spec))}"',
        "CreatedAt": machine.get("created", ""),
        "RunningFor": f"{age(str(machine.get('created', '')))} ago",
        "Ports": ", ".join(_published(port) for port in _list(part_of(machine, "network").get("ports"))),
        "State": docker_state(machine),
        "Status": status(machine),
        "Labels": ",".join(f"{name}={value}" for name, value in labels.items()),
        "Label": lambda name="": labels.get(name, ""),
        "Networks": ",".join(str(one.get("network", "")) for one in _list(spec.get("networks"))),
        "Mounts": ",".join(_sources(spec)),
        "LocalVolumes": str(len(_list(spec.get("volumes")))),
        "Size": "",
    }


def status(machine: Json) -> str:
    """ "Up 2 minutes (healthy)", "Exited (0) 3 hours ago", "Created"."""
    state = docker_state(machine)
    if state in ("running", "paused"):
        text = f"Up {age(str(machine.get('started') or machine.get('created', '')))}"
        health = machine.get("health")
        return f"{text} (Paused)" if state == "paused" else f"{text} ({health})" if health else text
    if state in ("exited", "dead"):
        code = part_of(machine, "exit").get("code", "-")
        return f"Exited ({code}) {age(str(machine.get('stopped', '')))} ago".replace("  ", " ")
    return state.capitalize()


def inspected_machine(machine: Json) -> Json:
    """The fields of `inspect` that scripts ask for."""
    spec, network = part_of(machine, "spec"), part_of(machine, "network")
    command, ended = part_of(spec, "command"), part_of(machine, "exit")
    policy, _, retries = str(spec.get("restart", "no")).partition(":")
    state, address = docker_state(machine), machine.get("address", "")
    ports = _ports(network)
    return {
        "Id": machine.get("id", ""),
        "Name": f"/{machine.get('name', '')}",
        "Created": machine.get("created", ""),
        "Image": machine.get("image_digest", ""),
        "Driver": machine.get("driver", ""),
        "RestartCount": machine.get("restarts", 0),
        "State": {
            "Status": state,
            "Running": state in ("running", "paused"),
            "Paused": state == "paused",
            "Restarting": machine.get("restart_in_s") is not None,
            "OOMKilled": part_of(machine, "ending").get("kind") in _FOR_MEMORY,
            "Dead": state == "dead",
            "Pid": machine.get("pid", 0),
            "ExitCode": ended.get("code", 0),
            "Error": machine.get("reason", "") if state == "dead" else "",
            "StartedAt": machine.get("started") or _NEVER,
            "FinishedAt": machine.get("stopped") or _NEVER,
            "Health": {"Status": machine.get("health") or "none"},
        },
        "Config": {
            "Image": spec.get("image", ""),
            "Hostname": spec.get("hostname") or machine.get("name", ""),
            "Cmd": command.get("argv") or [],
            "Entrypoint": command.get("entrypoint"),
            "Env": [f"{name}={value}" for name, value in part_of(command, "env").items()],
            "WorkingDir": command.get("cwd", ""),
            "User": command.get("user", ""),
            "Tty": command.get("tty", False),
            "OpenStdin": command.get("stdin", False),
            "Labels": part_of(spec, "labels"),
            "StopSignal": machine.get("stop_signal", ""),
        },
        "HostConfig": {
            "Memory": _whole(spec.get("memory_mib")) << 20,
            "NanoCpus": _nano_cpus(spec),
            "AutoRemove": spec.get("remove", False),
            "NetworkMode": spec.get("network") or "internet",
            "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(retries or 0)},
            "PortBindings": ports,
        },
        "NetworkSettings": {
            "IPAddress": address,
            "Ports": ports,
            "Networks": {
                str(one.get("network", "")): {"IPAddress": address, "Aliases": one.get("aliases", [])}
                for one in _list(spec.get("networks"))
            },
        },
        "Mounts": [
            *(_mounted(mount) for mount in _list(spec.get("mounts"))),
            *(_mounted(volume) for volume in _list(spec.get("volumes"))),
        ],
    }


def _sources(spec: Json) -> list[str]:
    directories = [str(one.get("source", "")) for one in _list(spec.get("mounts"))]
    return directories + [str(one.get("volume", "")) for one in _list(spec.get("volumes"))]


def _mounted(mount: Json) -> Json:
    writable = not mount.get("read_only", False)
    name = mount.get("volume")
    kind: Json = {"Type": "volume", "Name": name, "Driver": "local"} if name else {"Type": "bind"}
    return {
        **kind,
        "Source": mount.get("source", ""),
        "Destination": mount.get("target", ""),
        "Mode": "" if writable else "ro",
        "RW": writable,
        "Propagation": "rprivate",
    }


def listed_image(image: Json) -> Json:
    """The fields of `images --format`."""
    from banger.model.sizes import format_size

    name = str(image.get("name", ""))
    repository, tag = split_tag(name)
    return {
        "Repository": repository,
        "Tag": tag,
        "ID": str(image.get("digest", "")).rpartition(":")[2][:12],
        "Digest": image.get("manifest_digest") or "<none>",
        "CreatedAt": image.get("created", ""),
        "CreatedSince": f"{age(str(image.get('created', '')))} ago",
        "Size": format_size(_whole(image.get("used_bytes"))),
        "Name": name,
    }


def split_tag(name: str) -> tuple[str, str]:
    """ "team/app:1" → "team/app", "1"."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


def inspected_image(image: Json) -> Json:
    config = part_of(image, "config")
    return {
        "Id": image.get("digest", ""),
        "RepoTags": [image.get("name", "")],
        "RepoDigests": [image["manifest_digest"]] if image.get("manifest_digest") else [],
        "Created": image.get("created", ""),
        "Size": image.get("used_bytes", 0),
        "Architecture": image.get("architecture", ""),
        "Os": "linux",
        "Config": {
            "Env": config.get("env") or [],
            "Cmd": config.get("cmd") or [],
            "Entrypoint": config.get("entrypoint") or [],
            "WorkingDir": config.get("cwd", ""),
            "User": config.get("user", ""),
            "StopSignal": config.get("stop_signal", ""),
            "ExposedPorts": {str(port): {} for port in _words(config.get("exposed_ports"))},
        },
    }


def inspected_network(network: Json) -> Json:
    return {"Name": network.get("name"), "Internal": network.get("internal")}


def inspected_volume(volume: Json) -> Json:
    return {
        "Name": volume.get("name"),
        "Driver": "local",
        "Scope": "local",
        "CreatedAt": volume.get("created"),
        "Labels": volume.get("labels"),
        "Options": {"size": str(volume.get("size_bytes"))},
    }


def inspected_secret(secret: Json) -> Json:
    return {
        "ID": secret.get("name"),
        "CreatedAt": secret.get("created"),
        "UpdatedAt": secret.get("changed"),
        "Spec": {"Name": secret.get("name"), "Labels": part_of(secret, "labels")},
    }


def _ports(network: Json) -> Json:
    """Ports of the guest, each with the places on the host."""
    ports: dict[str, list[Json]] = {}
    for port in _list(network.get("ports")):
        at = {"HostIp": str(port.get("bind", "")), "HostPort": str(port.get("port", ""))}
        ports.setdefault(f"{port.get('guest_port')}/{port.get('protocol')}", []).append(dict(at))
    return dict(ports)


def _published(port: Json) -> str:
    bind = str(port.get("bind", ""))
    bind = f"[{bind}]" if ":" in bind else bind
    return f"{bind}:{port.get('port')}->{port.get('guest_port')}/{port.get('protocol')}"


def _argv(spec: Json) -> list[str]:
    return _words(part_of(spec, "command").get("argv"))


def _words(value: object) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else []


def _list(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _nano_cpus(spec: Json) -> int:
    """Processor time that the machine may take: its limit, if that is less than its processors."""
    limit, cpus = spec.get("cpu_limit"), _whole(spec.get("cpus"))
    limited = limit if isinstance(limit, int | float) and 0 < limit < cpus else cpus
    return round(limited * 1_000_000_000)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
