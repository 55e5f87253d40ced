"""How to reach each registry: `<config>/registries.toml` and `<config>/certs.d`.

    # Hosts that may be spoken to without a trusted certificate, or without TLS at all. Without a port: all ports.
    insecure = ["registry.lan:5000"]

    # Hosts on private addresses that registries and catalogs elsewhere may send us to.
    reachable = ["storage.lan"]

    # Mirrors, asked before the registry itself, in this order. With or without a path.
    [mirrors]
    "docker.io" = ["https://mirror.lan:5000", "https://proxy.lan/hub"]

    certs.d/registry.lan:5000/*.crt              trusted for that host, in addition to the system's
    certs.d/registry.lan:5000/client.{cert,key}  shown to that host

The variable BANGER_INSECURE_REGISTRIES adds hosts, with commas between them. All of this is read again for each pull.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from banger.errors import Error
from banger.images.reference.reference import Reference, api_host

INSECURE_VARIABLE = "BANGER_INSECURE_REGISTRIES"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Endpoint:
    """Where to ask for a repository: `host` is host or host:port, `prefix` is "" or "hub/"."""

    host: str
    prefix: str = ""


@dataclass(frozen=True)
class RegistrySettings:
    """All settings, as a value. The directory `certs` need not exist."""

    certs: Path | None = None
    insecure: frozenset[str] = frozenset()
    reachable: frozenset[str] = frozenset()
    mirrors: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)

    def endpoints(self, reference: Reference) -> list[Endpoint]:
        """The endpoints for a repository: mirrors first, the registry itself last."""
        return [*self.mirrors.get(reference.registry, ()), Endpoint(reference.api_host)]

    def is_insecure(self, host: str) -> bool:
        return host in self.insecure or hostname(host) in self.insecure

    def may_be_plain(self, host: str) -> bool:
        """Whether plain HTTP is tried when the host does not speak TLS."""
        return self.is_insecure(host) or is_loopback(host)

    def may_be_reached(self, host: str) -> bool:
        """Whether other hosts may send us to this host, whatever its address: the user has named it."""
        return self.is_insecure(host) or host in self.reachable or hostname(host) in self.reachable

    def with_insecure(self, registry: str) -> RegistrySettings:
        """The settings for `--insecure`: this registry, at all its ports."""
        return replace(self, insecure=self.insecure | {hostname(api_host(registry))})

    def certificates(self, host: str) -> Path | None:
        """The directory with certificates for a host, if there is one."""
        found = self.certs / host if self.certs and _HOST.fullmatch(host) else None
        return found if found is not None and found.is_dir() else None


def load_settings(config: Path) -> RegistrySettings:
    """Read the files below `config`, which need not exist. Blocking. Raises `bad_request` for a malformed file."""
    path = config / "registries.toml"
    try:
        data = path.read_bytes()[:_MAX_BYTES]
    except FileNotFoundError:
        data = b""
    except OSError as exc:
        raise _wrong(path, str(exc)) from exc
    try:
        table = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _wrong(path, str(exc)) from exc
    extra = [host.strip() for host in os.environ.get(INSECURE_VARIABLE, "").split(",") if host.strip()]
    settings = parse_settings(table, path)
    return replace(settings, certs=config / "certs.d", insecure=settings.insecure | frozenset(extra))


def parse_settings(table: Mapping[str, object], path: Path) -> RegistrySettings:
    """The settings in the text of a file. Raises `bad_request`."""
    unknown = sorted(table.keys() - {"insecure", "reachable", "mirrors"})
    if unknown:
        raise _wrong(path, f"{unknown[0]!r} is not a setting")
    mirrors = table.get("mirrors", {})
    if not isinstance(mirrors, dict):
        raise _wrong(path, "[mirrors] is a table of lists")
    return RegistrySettings(
        insecure=frozenset(_hosts(table.get("insecure", []), path, "insecure")),
        reachable=frozenset(_hosts(table.get("reachable", []), path, "reachable")),
        mirrors={
            registry: tuple(_endpoint(url, path) for url in _texts(urls, path, registry))
            for registry, urls in mirrors.items()
        },
    )


def hostname(host: str) -> str:
    """A host without port and brackets."""
    match = _HOST.fullmatch(host)
    return (match[1] if match else host).strip("[]")


def is_loopback(host: str) -> bool:
    name = hostname(host).lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _texts(value: object, path: Path, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(path, f"{where} is a list of strings")
    return value


def _hosts(value: object, path: Path, where: str) -> list[str]:
    hosts = _texts(value, path, where)
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise _wrong(path, f"{host!r} is not host or host:port")
    return hosts


def _endpoint(url: str, path: Path) -> Endpoint:
    host, _, prefix = url.removeprefix("https://").rstrip("/").partition("/")
    if not _HOST.fullmatch(host):
        raise _wrong(path, f"{url!r} is not the https:// URL of a mirror")
    return Endpoint(host, f"{prefix}/" if prefix else "")


def _wrong(path: Path, reason: str) -> Error:
    return Error("bad_request", f"{path}: {reason}", "docs/registries.md shows the format")
