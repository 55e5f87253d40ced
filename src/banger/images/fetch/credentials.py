"""User names and passwords of registries, where Docker and podman keep them.

Looked for in this order, the first that has some for the registry wins:

    $REGISTRY_AUTH_FILE                            podman's, where set
    $DOCKER_CONFIG/config.json                     Docker's, where set
    $XDG_RUNTIME_DIR/containers/auth.json          podman's
    $XDG_CONFIG_HOME/containers/auth.json          podman's
    ~/.docker/config.json                          Docker's

In each: `credHelpers` for the registry, then `credsStore`, then what the file itself has under `auths`, whose keys may
be hosts, URLs, or as podman writes them host/namespace. Secrets are never logged and never part of an error.
Source: docker-config(5) of docker/cli, containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from banger.errors import Error
from banger.host.fs import read_plain
from banger.host.thread import in_thread
from banger.images.fetch.credential_program import ask_program
from banger.images.reference.reference import DEFAULT_REGISTRY, parse_registry

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Credentials:
    """A user name and password; or an identity token, which is exchanged for other tokens; or a token for the registry
    itself."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class AuthEntry(Struct, rename={"identity_token": "identitytoken", "registry_token": "registrytoken"}):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identity_token: str | None = None
    registry_token: str | None = None


class AuthFile(Struct, rename={"programs": "credHelpers", "store": "credsStore"}):
    """config.json or auth.json: the parts with credentials."""

    auths: dict[str, AuthEntry] | None = None
    programs: dict[str, str] | None = None
    store: str | None = None

    def program_for(self, registry: str) -> str:
        """The name of the helper program for a registry; "" for none."""
        named = {normal_key(key): name for key, name in (self.programs or {}).items()}
        return named.get(registry, self.store or "")

    def entry_for(self, registry: str, repository: str) -> AuthEntry | None:
        """The entry with the longest key that fits."""
        entries = {normal_key(key): entry for key, entry in (self.auths or {}).items()}
        found = (entries.get(key) for key in _keys(registry, repository))
        return next((entry for entry in found if entry is not None), None)


async def find_credentials(
    registry: str, repository: str = "", faults: list[Error] | None = None
) -> Credentials | None:
    """The credentials for a repository; None if there are none. A broken file or helper hides no other one, and most
    images need no password: errors are appended to `faults`. Without that list, raises `credentials_error` if nothing
    was found."""
    noted: list[Error] = []
    for path in auth_files():
        found = await _try_file(path, registry, repository, noted)
        if found is not None:
            break
    else:
        if noted and faults is None:
            raise noted[0]
    (faults if faults is not None else []).extend(noted)
    return found


def auth_files() -> list[Path]:
    """The files that may have credentials, in the order of precedence. They need not exist."""
    environment = os.environ
    config = environment.get("XDG_CONFIG_HOME", "")
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    places = [
        Path(environment["REGISTRY_AUTH_FILE"]) if environment.get("REGISTRY_AUTH_FILE") else None,
        docker_file() if environment.get("DOCKER_CONFIG") else None,
        Path(runtime) / "containers/auth.json" if runtime.startswith("/") else None,
        (Path(config) if config.startswith("/") else Path.home() / ".config") / "containers/auth.json",
        docker_file(),
    ]
    return list(dict.fromkeys(place for place in places if place is not None))


def docker_file() -> Path:
    """The file to which `login` writes."""
    own = os.environ.get("DOCKER_CONFIG")
    return (Path(own) if own else Path.home() / ".docker") / "config.json"


def read_bytes(path: Path) -> bytes:
    """The contents of a file; empty if it does not exist. Raises `credentials_error`."""
    try:
        data = read_plain(path, MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as exc:
        raise _unreadable(path, exc.strerror or "it cannot be read") from exc
    if len(data) > MAX_FILE_BYTES:
        raise _unreadable(path, "it is longer than 1 MiB")
    return data


def read_auth_file(path: Path) -> AuthFile | None:
    """Blocking. Raises `credentials_error`, which contains nothing of the file."""
    data = read_bytes(path)
    if not data.strip():
        return None
    try:
        return msgspec.json.decode(data, type=AuthFile)
    except (msgspec.DecodeError, RecursionError):
        raise _unreadable(path, "it is not a credentials file") from None


def normal_key(key: str) -> str:
    """The registry, or registry/namespace, that a key of `auths` stands for."""
    bare = re.sub(r"^https?://", "", key).rstrip("/")
    host, slash, rest = bare.partition("/")
    try:
        registry = parse_registry(host)
    except Error:
        return key
    return registry if rest in ("", "v1", "v2") else registry + slash + rest


def decode_entry(entry: AuthEntry, path: Path) -> Credentials | None:
    """None for an empty entry, which says that a helper has the credentials. Raises `credentials_error`."""
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            username, _, password = base64.b64decode(entry.auth).decode().partition(":")
        except (binascii.Error, ValueError):
            raise _unreadable(path, "an entry is not base64 of user:password") from None
    found = Credentials(
        username, password.rstrip("\0"), entry.identity_token or "", entry.registry_token or ""
    )
    return found if found != Credentials() else None


async def _try_file(path: Path, registry: str, repository: str, faults: list[Error]) -> Credentials | None:
    """Ask the helper that the file names, then the file itself."""
    try:
        content = await in_thread(read_auth_file, path)
    except Error as exc:
        faults.append(exc)
        return None
    if content is None:
        return None
    found = await _try_program(content.program_for(registry), registry, faults)
    entry = content.entry_for(registry, repository)
    try:
        return found or (decode_entry(entry, path) if entry is not None else None)
    except Error as exc:
        faults.append(exc)
        return None


async def _try_program(name: str, registry: str, faults: list[Error]) -> Credentials | None:
    """Ask a helper. A helper that failed is not asked again for another file."""
    if not name or any(fault.details.get("helper") == name for fault in faults):
        return None
    try:
        answer = await ask_program(name, registry)
    except Error as exc:
        faults.append(Error(exc.code, exc.message, exc.hint, {**exc.details, "helper": name}))
        return None
    if answer is None:
        return None
    username, secret = answer
    return Credentials(identity_token=secret) if username == "<token>" else Credentials(username, secret)


def _keys(registry: str, repository: str) -> Iterator[str]:
    """registry/a/b, registry/a, registry."""
    key = f"{registry}/{repository}".rstrip("/")
    while key != registry:
        yield key
        key = key.rpartition("/")[0]
    yield registry
    if registry == DEFAULT_REGISTRY:
        yield "index.docker.io"


def _unreadable(path: Path, reason: str) -> Error:
    return Error(
        "credentials_error", f"credentials in {path}: {reason}", "correct that file, or log in again"
    )
