"""`<config>/config.toml`: what a user may set. Everything has a default; unknown keys are refused by name.

[images]
max_inflated = "64GiB"      # all layers of an image together
max_entries = 2000000

[templates]
enabled = true              # false: every machine boots

[pool]
per_template = 1            # clones that wait, of each template that was used of late; 0: none
keep = 3600                 # seconds since its last use
reserve = "1GiB"            # memory of the host that clones in waiting leave alone

[limits]
memory_reserve = "256MiB"   # memory of the host that no machine may start into
disk_reserve = "256MiB"     # as much of the disk; a machine that found it full continues when this is free
connections = 256           # that a machine may have open at a time, through the VMM's address translation

[web]
listen = ""                 # HOST:PORT, to serve the API and the web page on TCP from the start
hosts = []                  # names of this host beside its addresses
certificate = ""            # PEM files for TLS; without them banger signs its own, except on the loopback
key = ""

[traces]
endpoint = ""               # URL of a collector of OpenTelemetry (OTLP over HTTP), which gets traces

[secrets]
key = ""                    # file with the key of secrets; empty: secrets.key beside the store

[network]
default = "internet"        # what a machine may reach if the user does not say: none, internet, lan or host
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from banger.errors import Error
from banger.model.network import Policy
from banger.model.sizes import GIB, parse_size


class ImageSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    max_inflated: str = f"{64 * GIB}B"
    max_entries: int = 2_000_000

    @property
    def max_inflated_bytes(self) -> int:
        return parse_size(self.max_inflated)


class TemplateSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    enabled: bool = True


class PoolSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    per_template: Annotated[int, msgspec.Meta(ge=0, le=64)] = 1
    keep: Annotated[float, msgspec.Meta(gt=0)] = 3600
    reserve: str = "1GiB"

    @property
    def reserve_bytes(self) -> int:
        return parse_size(self.reserve)


class LimitSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    memory_reserve: str = "256MiB"
    disk_reserve: str = "256MiB"
    connections: Annotated[int, msgspec.Meta(ge=16, le=65536)] = 256

    @property
    def memory_reserve_bytes(self) -> int:
        return parse_size(self.memory_reserve)

    @property
    def disk_reserve_bytes(self) -> int:
        return parse_size(self.disk_reserve)


class NetworkSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    default: Policy = "internet"


class SecretSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    key: Annotated[str, msgspec.Meta(pattern=r"^(/.*)?\Z")] = ""


class WebSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    listen: str = ""
    hosts: list[str] = msgspec.field(default_factory=list)
    certificate: str = ""
    key: str = ""

    @property
    def place(self) -> tuple[str, int] | None:
        """Host and port of `listen`. Raises `bad_config`."""
        return parse_place(self.listen) if self.listen else None


class TraceSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    endpoint: str = ""


class VmmSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    programs: dict[str, str] = msgspec.field(default_factory=dict)
    jails: dict[str, str] = msgspec.field(default_factory=dict)


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    images: ImageSettings = msgspec.field(default_factory=ImageSettings)
    templates: TemplateSettings = msgspec.field(default_factory=TemplateSettings)
    pool: PoolSettings = msgspec.field(default_factory=PoolSettings)
    limits: LimitSettings = msgspec.field(default_factory=LimitSettings)
    network: NetworkSettings = msgspec.field(default_factory=NetworkSettings)
    secrets: SecretSettings = msgspec.field(default_factory=SecretSettings)
    web: WebSettings = msgspec.field(default_factory=WebSettings)
    traces: TraceSettings = msgspec.field(default_factory=TraceSettings)
    vmm: VmmSettings = msgspec.field(default_factory=VmmSettings)


def parse_place(text: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT" or "[ADDRESS]:PORT". Raises `bad_config`."""
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_bracketed else host
    good_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
    if not host or not good_port or (":" in host) != is_bracketed:
        raise Error(
            "bad_config", f"{text!r} is not HOST:PORT", 'write it like "127.0.0.1:8040" or "[::1]:8040"'
        )
    return host, int(port)


def read_settings(config: Path) -> Settings:
    """The settings in the directory `config`; without a file, the defaults. Raises `bad_config`."""
    path = config / "config.toml"
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Settings)
        if bool(settings.web.certificate) != bool(settings.web.key):
            raise Error("bad_config", "[web] needs certificate and key together")
        if settings.images.max_inflated_bytes <= 0 or settings.images.max_entries <= 0:
            raise Error("bad_size", "a limit must be greater than 0")
        _ = settings.pool.reserve_bytes, settings.web.place
        _ = settings.limits.memory_reserve_bytes, settings.limits.disk_reserve_bytes
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, Error) as exc:
        raise Error("bad_config", f"{path}: {exc}", "docs/configuration.md lists the settings") from exc
    return settings
