"""All secrets of this installation.

A value is in memory in clear from the request that sets it until it is sealed, and at the start of a machine that uses
it, until the guest has it. No value leaves the daemon another way.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import get_args

import msgspec

from banger.errors import Error
from banger.host.thread import in_thread
from banger.host.times import now
from banger.model.event import Tell, tell_nobody
from banger.model.secret import Secret, SecretName
from banger.model.sizes import SECRET_MAX_BYTES
from banger.store.secrets import SecretTable
from banger.vault.key_file import KeyFile
from banger.vault.sealing import damaged, seal, unseal

COUNT_MAX = 1000
_NAME = re.compile(get_args(SecretName)[1].pattern)


class Vault:
    """Lives as long as the daemon; used from its event loop. Ciphers run in threads."""

    def __init__(self, table: SecretTable, key: KeyFile, tell: Tell = tell_nobody) -> None:
        self._table = table
        self._key = key
        self._tell = tell
        self._changing = asyncio.Lock()

    def all(self) -> list[Secret]:
        return self._table.all()

    def find(self, name: str) -> Secret:
        """Raises `secret_not_found`."""
        secret = self._table.get(name) if _NAME.fullmatch(name) else None
        if secret is None:
            raise Error("secret_not_found", f"there is no secret {name[:64]!r}", "banger secret list")
        return secret

    async def set(
        self, name: str, value: bytes, labels: Mapping[str, str] | None = None, *, replace: bool = True
    ) -> Secret:
        """A new secret, or with `replace` a new value of a secret that exists; without `labels` it keeps its labels.
        Raises `bad_name`, `name_taken`, `payload_too_large`, `too_many_secrets`, `secret_key_lost`."""
        check_secret_name(name)
        check_size(len(value))
        async with self._changing:
            known = self._table.get(name)
            if known is not None and not replace:
                hint = f"choose another name, or replace its value: banger secret set {name}"
                raise Error("name_taken", f"a secret named {name!r} exists already", hint)
            if known is None and self._table.count() >= COUNT_MAX:
                raise Error("too_many_secrets", f"there are {COUNT_MAX} secrets", "delete some")
            moment = now()
            kept = known.labels if labels is None and known is not None else labels or {}
            secret = Secret(
                name=name, created=known.created if known else moment, changed=moment, labels=dict(kept)
            )
            is_first = self._table.count() == 0
            sealed = await in_thread(lambda: seal(self._key_to_seal(is_first), name, moment, value))
            self._table.put(secret, sealed)
        what = "was set" if known is None else "has a new value"
        self._tell("secret.set", f"secret/{name}", f"the secret {name} {what}")
        return secret

    async def open(self, name: str) -> bytes:
        """The value. Raises `secret_not_found`, `secret_key_lost`, `secret_damaged`."""
        secret, sealed = self.find(name), self._table.sealed(name)
        if not sealed:
            raise damaged(name)
        return await in_thread(lambda: unseal(self._key_to_open(name), name, secret.changed, sealed))

    def delete(self, name: str) -> None:
        """Raises `secret_not_found`."""
        self.find(name)
        self._table.delete(name)
        self._tell("secret.deleted", f"secret/{name}", f"the secret {name} was deleted")

    def _key_to_seal(self, is_first: bool) -> bytes:
        """Blocking. A lost key is not replaced by itself: secrets that it opens may be needed."""
        key = self._key.read()
        if key is None and is_first:
            return self._key.make()
        return key if key is not None else self._lost("no secret can be set")

    def _key_to_open(self, name: str) -> bytes:
        key = self._key.read()
        return key if key is not None else self._lost(f"the secret {name} cannot be read")

    def _lost(self, so: str) -> bytes:
        raise Error(
            "secret_key_lost",
            f"{so}: its key {self._key.path} is gone",
            "put the key back; or give up all secrets (banger secret delete --force) and set them again",
        )


def check_secret_name(name: str) -> None:
    """Raises `bad_name`. The error does not repeat the name: it may be a value in the wrong place."""
    try:
        msgspec.convert(name, SecretName)
    except msgspec.ValidationError as exc:
        raise Error(
            "bad_name",
            "this cannot be the name of a secret",
            "use up to 64 letters, digits, '-', '_' and '.'",
        ) from exc


def check_size(size_bytes: int) -> None:
    """Raises `payload_too_large`."""
    if size_bytes > SECRET_MAX_BYTES:
        raise Error(
            "payload_too_large",
            f"a secret may have at most {SECRET_MAX_BYTES // 1024} KiB",
            "share large files as a directory: -v ./files:/files:ro",
        )
