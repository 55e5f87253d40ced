"""Docker's credential helpers: programs `docker-credential-NAME` that keep secrets somewhere better than a file.

They get a verb as argument and a document on standard input. Source: docker/docker-credential-helpers, README.
"""

from __future__ import annotations

import os
import re

import msgspec
from msgspec import Struct

from banger.environment import for_credential_helpers
from banger.errors import Error, TimedOut, ToolMissing
from banger.host.run import Result, run
from banger.images.reference.reference import DEFAULT_REGISTRY, DEFAULT_REGISTRY_KEY

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_TIMEOUT_S = 30
_ANSWER_S = 15  # a locked keyring may ask its user for a password for this long
_NOT_FOUND = b"credentials not found"


class _Secret(Struct, rename="pascal"):
    username: str
    secret: str


async def ask_program(name: str, registry: str) -> tuple[str, str] | None:
    """User name and secret; None if the helper has none. Raises `credentials_error`."""
    result = await _call(name, "get", server_key(registry).encode(), _ANSWER_S)
    if result.code != 0:
        if _NOT_FOUND in result.stdout.lower() + result.stderr.lower():
            return None
        raise _failed(name, f"ended with exit code {result.code}")
    try:
        found = msgspec.json.decode(result.stdout, type=_Secret)
    except msgspec.DecodeError:
        raise _failed(name, "did not answer with credentials") from None
    return found.username, found.secret


async def store_with_program(name: str, registry: str, username: str, password: str) -> None:
    """Raises `credentials_error`."""
    document = {"ServerURL": server_key(registry), "Username": username, "Secret": password}
    result = await _call(name, "store", msgspec.json.encode(document))
    if result.code != 0:
        raise _failed(name, f"did not store them: it ended with exit code {result.code}")


async def erase_with_program(name: str, registry: str) -> bool:
    """Returns False if the helper had no credentials. Raises `credentials_error`."""
    result = await _call(name, "erase", server_key(registry).encode())
    if result.code != 0 and _NOT_FOUND not in result.stdout.lower() + result.stderr.lower():
        raise _failed(name, f"did not erase them: it ended with exit code {result.code}")
    return result.code == 0


def server_key(registry: str) -> str:
    """The key under which Docker keeps the credentials of a registry."""
    return DEFAULT_REGISTRY_KEY if registry == DEFAULT_REGISTRY else registry


async def _call(name: str, verb: str, stdin: bytes, timeout_s: float = _TIMEOUT_S) -> Result:
    """Run a helper. Its output may contain a secret, so no error contains it."""
    if not _NAME.fullmatch(name):
        raise _failed(name[:64], "is not the name of a credential helper")
    program = f"docker-credential-{name}"
    try:
        return await run(
            [program, verb],
            env=for_credential_helpers(os.environ),
            stdin=stdin,
            timeout_s=timeout_s,
            check=False,
        )
    except OSError as exc:
        raise _failed(name, f"cannot be started: {exc.strerror}") from exc
    except TimedOut as exc:
        raise _failed(name, f"did not answer within {timeout_s:g} s; its keyring may be locked") from exc
    except ToolMissing as exc:
        raise Error(
            "credentials_error", f"{program} is not installed", "install it, or log in again"
        ) from exc


def _failed(name: str, what: str) -> Error:
    return Error(
        "credentials_error",
        f"credential helper {name!r} {what}",
        f"try docker-credential-{name} list by hand",
    )
