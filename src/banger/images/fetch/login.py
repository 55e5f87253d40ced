"""Log-in and log-out: credentials are tried, then kept where Docker keeps them, or removed from there.

The file is `config.json` of docker_file(). It is written again as a whole, with mode 0600 and all its other contents.
If it has `credHelpers` or `credsStore`, the secret goes to that helper and never into the file.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from banger.errors import Error
from banger.host.fs import write_file
from banger.host.thread import in_thread
from banger.images.fetch.client import RegistryClient
from banger.images.fetch.credential_program import erase_with_program, server_key, store_with_program
from banger.images.fetch.credentials import (
    AuthFile,
    Credentials,
    auth_files,
    docker_file,
    normal_key,
    read_auth_file,
    read_bytes,
)
from banger.images.fetch.grants import Grants
from banger.images.fetch.settings import load_settings
from banger.images.fetch.transport import Transport
from banger.images.reference.reference import api_host, parse_registry

_MAX_SECRET = 16 * 1024


@dataclass(frozen=True)
class LoggedOut:
    """`removed`: whether there were credentials. `elsewhere`: files that still have credentials for the registry, and
    that belong to other programs."""

    registry: str
    removed: bool
    elsewhere: tuple[str, ...]


async def login(
    registry: str,
    username: str,
    password: str,
    config: Path,
    insecure: bool = False,
    grants: Grants | None = None,
) -> str:
    """Try credentials and keep them. Returns where they are kept; `grants` forget the registry.

    Raises `registry_denied`, and keeps nothing, if the registry does not accept them; `bad_reference`, `bad_request`,
    `credentials_error`, and the errors of requests to a registry."""
    registry = parse_registry(registry)
    credentials = _check(username, password)
    settings = await in_thread(load_settings, config)
    transport = Transport(settings.with_insecure(registry) if insecure else settings)
    try:
        await RegistryClient(transport).check_login(api_host(registry), credentials)
    finally:
        transport.close()
    if grants is not None:
        grants.forget(api_host(registry))
    return await _keep(registry, credentials)


async def logout(registry: str, grants: Grants | None = None) -> LoggedOut:
    """Raises `bad_reference`, `credentials_error`."""
    registry = parse_registry(registry)
    path = docker_file()
    if grants is not None:
        grants.forget(api_host(registry))
    content = await in_thread(read_auth_file, path) or AuthFile()
    program = content.program_for(registry)
    erased = bool(program) and await erase_with_program(program, registry)
    cleared = await in_thread(_change, path, lambda document: _drop(document, registry))
    elsewhere = await in_thread(_others, registry, path)
    return LoggedOut(registry, erased or cleared, elsewhere)


async def _keep(registry: str, credentials: Credentials) -> str:
    path = docker_file()
    content = await in_thread(read_auth_file, path) or AuthFile()
    program = content.program_for(registry)
    entry: dict[str, str] = {}
    if program:
        await store_with_program(program, registry, credentials.username, credentials.password)
    else:
        pair = f"{credentials.username}:{credentials.password}".encode()
        entry["auth"] = base64.b64encode(pair).decode()
    await in_thread(_change, path, lambda document: _put(document, registry, entry))
    return f"docker-credential-{program}" if program else str(path)


def _change(path: Path, edit: Callable[[dict[str, Any]], bool]) -> bool:
    """Rewrite the file if `edit` changed its contents; a symbolic link stays one. Raises `credentials_error`."""
    target = Path(os.path.realpath(path))
    data = read_bytes(target)
    try:
        document = msgspec.json.decode(data, type=dict[str, Any]) if data.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        message = f"credentials in {path}: it is not a credentials file"
        raise Error("credentials_error", message, "correct that file") from None
    if not edit(document):
        return False
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(target, msgspec.json.format(msgspec.json.encode(document), indent=4) + b"\n", 0o600)
    except OSError as exc:
        message = f"credentials cannot be kept in {path}: {exc.strerror}"
        raise Error("credentials_error", message, "check who owns that file and its directory") from exc
    return True


def _put(document: dict[str, Any], registry: str, entry: dict[str, str]) -> bool:
    _drop(document, registry)
    auths = document.get("auths")
    document["auths"] = {**(auths if isinstance(auths, dict) else {}), server_key(registry): entry}
    return True


def _drop(document: dict[str, Any], registry: str) -> bool:
    auths = document.get("auths")
    if not isinstance(auths, dict):
        return False
    kept = {key: entry for key, entry in auths.items() if normal_key(key) != registry}
    document["auths"] = kept
    return len(kept) < len(auths)


def _others(registry: str, own: Path) -> tuple[str, ...]:
    found = []
    for path in auth_files():
        content = read_auth_file(path) if path != own else None
        if content and (content.entry_for(registry, "") or content.program_for(registry)):
            found.append(str(path))
    return tuple(found)


def _check(username: str, password: str) -> Credentials:
    if not username or ":" in username or not password:
        raise Error("bad_request", "a log-in needs a user name without a colon, and a password")
    if (
        any(ord(c) < 32 or ord(c) == 127 for c in username + password)
        or len(username + password) > _MAX_SECRET
    ):
        raise Error("bad_request", "the user name or password has control characters, or is too long")
    return Credentials(username, password)
