"""`<config>/config.toml`: what a user may set. Everything has a default. An unknown key is refused by name, in the file
as in the environment, where `BANGER_POOL_KEEP=60` goes before `keep` of `[pool]`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import msgspec.inspect
from msgspec import Meta

from banger.errors import Error
from banger.model.network import Policy
from banger.model.sizes import parse_size

FILE = "config.toml"
_HINT = "`banger config show` lists all settings, docs/configuration.md explains them"
_ON = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}

Source = Literal["default", "file", "environment"]


class ImageSettings(msgspec.Struct, kw_only=True):
    max_inflated: Annotated[str, Meta(description="all layers of an image together")] = "64GiB"
    max_entries: Annotated[int, Meta(ge=1, description="files, directories and links of an image")] = (
        2_000_000
    )

    @property
    def max_inflated_bytes(self) -> int:
        return parse_size(self.max_inflated)


class TemplateSettings(msgspec.Struct, kw_only=True):
    enabled: Annotated[bool, Meta(description="false: every machine boots, as with --cold")] = True


class PoolSettings(msgspec.Struct, kw_only=True):
    per_template: Annotated[
        int, Meta(ge=0, le=64, description="number of waiting clones of each template in recent use; 0: none")
    ] = 1
    keep: Annotated[
        float, Meta(gt=0, description="seconds after the last use of a template for which its clones wait")
    ] = 3600
    reserve: Annotated[str, Meta(description="memory of the host that waiting clones leave free")] = "1GiB"

    @property
    def reserve_bytes(self) -> int:
        return parse_size(self.reserve)


class LimitSettings(msgspec.Struct, kw_only=True):
    memory_reserve: Annotated[
        str, Meta(description="memory of the host that every start of a machine leaves free")
    ] = "256MiB"
    disk_reserve: Annotated[
        str,
        Meta(
            description="disk space that stays free; with less, a machine that a full disk halted does not continue"
        ),
    ] = "256MiB"
    connections: Annotated[
        int,
        Meta(
            ge=16,
            le=65536,
            description="connections of a machine without a tap; each can use 256 KiB of the host's memory",
        ),
    ] = 256

    @property
    def memory_reserve_bytes(self) -> int:
        return parse_size(self.memory_reserve)

    @property
    def disk_reserve_bytes(self) -> int:
        return parse_size(self.disk_reserve)


class NetworkSettings(msgspec.Struct, kw_only=True):
    default: Annotated[
        Policy,
        Meta(description="what a machine reaches if --network is not given: none, internet, lan or host"),
    ] = "internet"


class SecretSettings(msgspec.Struct, kw_only=True):
    key_file: Annotated[
        str,
        Meta(
            pattern=r"^(/.*)?\Z",
            description="absolute path of the file with the key of secrets; without it, secrets.key beside the store",
        ),
    ] = ""


class WebSettings(msgspec.Struct, kw_only=True):
    listen: Annotated[
        str, Meta(description="HOST:PORT, to serve API and web page on TCP from the start; bangerd --listen")
    ] = ""
    hosts: Annotated[
        list[str], Meta(description="names of this host that browsers may use, beside its addresses")
    ] = msgspec.field(default_factory=list)
    certificate: Annotated[
        str,
        Meta(
            description="PEM file for TLS; without it, banger signs its own, unless HOST is a loopback address"
        ),
    ] = ""
    key: Annotated[str, Meta(description="PEM file with the key of the certificate")] = ""

    @property
    def place(self) -> tuple[str, int] | None:
        """Host and port of `listen`. Raises `bad_config`."""
        return parse_place(self.listen) if self.listen else None


class TraceSettings(msgspec.Struct, kw_only=True):
    endpoint: Annotated[
        str, Meta(description='URL of a collector of OpenTelemetry, such as "http://127.0.0.1:4318"')
    ] = ""


class VmmSettings(msgspec.Struct, kw_only=True):
    programs: Annotated[
        dict[str, str], Meta(description="names (in PATH) or absolute paths of programs: firecracker, jailer")
    ] = msgspec.field(default_factory=dict)
    jails: Annotated[
        dict[str, str], Meta(description="the jail of a driver's machines: ours, or firecracker's own jailer")
    ] = msgspec.field(default_factory=dict)


class Settings(msgspec.Struct, kw_only=True):
    images: ImageSettings = msgspec.field(default_factory=ImageSettings)
    templates: TemplateSettings = msgspec.field(default_factory=TemplateSettings)
    pool: PoolSettings = msgspec.field(default_factory=PoolSettings)
    limits: LimitSettings = msgspec.field(default_factory=LimitSettings)
    network: NetworkSettings = msgspec.field(default_factory=NetworkSettings)
    secrets: SecretSettings = msgspec.field(default_factory=SecretSettings)
    web: WebSettings = msgspec.field(default_factory=WebSettings)
    traces: TraceSettings = msgspec.field(default_factory=TraceSettings)
    vmm: VmmSettings = msgspec.field(default_factory=VmmSettings)


@dataclass(frozen=True)
class Key:
    """A setting that there is: `name` of `[section]`, and the `type` of its values."""

    section: str
    name: str
    type: Any
    default: object
    meaning: str

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        return f"BANGER_{self.section}_{self.name}".upper()

    @property
    def allowed(self) -> str:
        """Which values there may be, in words."""
        kind = msgspec.inspect.type_info(self.type)
        kind = kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind
        if isinstance(kind, msgspec.inspect.LiteralType):
            return f"one of {', '.join(map(str, kind.values))}"
        if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
            noun = "a whole number" if isinstance(kind, msgspec.inspect.IntType) else "a number"
            if kind.gt is not None:
                return f"{noun} greater than {kind.gt}"
            return (
                f"{noun} from {kind.ge} to {kind.le}"
                if kind.le is not None
                else f"{noun} of at least {kind.ge}"
            )
        if isinstance(kind, msgspec.inspect.StrType) and kind.pattern is not None:
            return "an absolute path"
        return {bool: "true or false", list: "a list of texts", dict: "a table of texts"}.get(
            type(self.default), "a text"
        )

    @property
    def is_table(self) -> bool:
        """Whether its values have names, such as `vmm.programs.firecracker`."""
        return isinstance(self.default, dict)


@dataclass(frozen=True)
class Setting:
    """A key's value, and where it comes from: `place` is the file or the variable, empty for a default."""

    key: Key
    value: object
    source: Source
    place: str


@cache
def keys() -> tuple[Key, ...]:
    """All settings, in the order of the documentation. Made once: that takes a millisecond, and settings are read
    often."""
    return tuple(_keys())


def _keys() -> Iterator[Key]:
    for section in msgspec.structs.fields(Settings):
        kind = type(section.default_factory())
        hints = get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            default = getattr(kind(), field.name)
            meaning = next(note.description for note in hints[field.name].__metadata__ if note.description)
            yield Key(section.name, field.name, hints[field.name], default, meaning)


def variables() -> frozenset[str]:
    """The variables of the environment that are settings."""
    return frozenset(key.variable for key in keys() if not key.is_table)


def read_settings(config: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in the directory `config` and the environment; without both, the defaults. Raises `bad_config`."""
    settings = Settings()
    for one in explain_settings(config, environ):
        if one.source != "default":
            setattr(getattr(settings, one.key.section), one.key.name, one.value)
    return settings


def explain_settings(config: Path, environ: Mapping[str, str] | None = None) -> list[Setting]:
    """All settings with their sources; the whole environment, or what is given for it. Raises `bad_config`."""
    path = config / FILE
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as exc:
        raise bad(f"{path}: {exc}") from exc
    return combine(text, str(path), os.environ if environ is None else environ)


def combine(text: str, path: str, environ: Mapping[str, str]) -> list[Setting]:
    """The settings of a file with this text, and of the environment. Raises `bad_config`."""
    known = {key.path: key for key in keys()}
    found = _of_file(text, path, known) | _of_environment(environ, known)
    settings = [found.get(key.path) or Setting(key, key.default, "default", "") for key in known.values()]
    _check_together({one.key.path: one.value for one in settings}, path)
    return settings


def _of_file(text: str, path: str, known: Mapping[str, Key]) -> dict[str, Setting]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise bad(f"{path}: {exc}") from exc
    found = {}
    names = {key.section for key in known.values()}
    for section, values in document.items():
        if section not in names:
            raise bad(f"{path}: there is no section [{section}]", suggest(section, names))
        if not isinstance(values, dict):
            raise bad(f"{path}: {section} must be a section, [{section}]")
        for name, value in values.items():
            key = find_key(f"{section}.{name}", known, f"{path}: ")
            found[key.path] = Setting(key, _checked(key, value, f"{path}: {key.path}"), "file", path)
    return found


def _of_environment(environ: Mapping[str, str], known: Mapping[str, Key]) -> dict[str, Setting]:
    by_variable = {key.variable: key for key in known.values() if not key.is_table}
    begins = tuple({f"BANGER_{key.section}_".upper() for key in known.values()})
    found = {}
    for variable in sorted(name for name in environ if name.startswith(begins)):
        key = by_variable.get(variable)
        if key is None:
            raise bad(f"{variable} is no setting", suggest(variable, by_variable))
        value = _checked(key, parse_text(key, environ[variable]), variable)
        found[key.path] = Setting(key, value, "environment", variable)
    return found


def find_key(path: str, known: Mapping[str, Key] | None = None, where: str = "") -> Key:
    """The setting with this path. Raises `bad_config` with the nearest one."""
    known = known if known is not None else {key.path: key for key in keys()}
    if path not in known:
        section, _, name = path.partition(".")
        nearest = suggest(path, known)
        raise bad(
            f"{where}[{section}] has no key {name}" if name else f"{where}{path} is no setting", nearest
        )
    return known[path]


def parse_text(key: Key, text: str) -> object:
    """The value that a text without quotes stands for: of the environment, or of a command line. A list has commas.
    A text that does not fit the key's type stays text, which `check_value` refuses."""
    if isinstance(key.default, bool):
        return _ON.get(text.lower(), text)
    if isinstance(key.default, list):
        return [word.strip() for word in text.split(",") if word.strip()]
    if isinstance(key.default, int | float):
        try:
            return float(text) if key.type.__origin__ is float else int(text)
        except ValueError:
            return text
    return text


def check_value(key: Key, value: object) -> object:
    """The value. Raises `bad_config`, which says what is allowed."""
    return _checked(key, value, key.path)


def _checked(key: Key, value: object, where: str) -> object:
    try:
        found = msgspec.convert(value, key.type)
        if key.path in _SIZES and parse_size(found) < _SIZES[key.path]:
            raise Error("bad_size", f"it must be at least {_SIZES[key.path]} bytes")
        if key.path == "web.listen" and found:
            parse_place(found)
    except msgspec.ValidationError as exc:
        raise bad(f"{where} must be {key.allowed}, not {value!r}") from exc
    except Error as exc:
        raise Error("bad_config", f"{where}: {exc.message}", exc.hint or _HINT) from exc
    return found


# Settings that are sizes, with the least that each may be.
_SIZES = {"images.max_inflated": 1, "pool.reserve": 0, "limits.memory_reserve": 0, "limits.disk_reserve": 0}


def _check_together(values: Mapping[str, object], path: str) -> None:
    if bool(values["web.certificate"]) != bool(values["web.key"]):
        raise bad(f"{path}: [web] needs certificate and key together")


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


def suggest(word: str, known: Iterator[str] | Mapping[str, object] | set[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word[:100], sorted(known), 1)
    return f"did you mean {near[0]}?" if near else ""


def bad(message: str, hint: str = "") -> Error:
    return Error("bad_config", message, hint or _HINT)
