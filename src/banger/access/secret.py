"""Secrets that banger makes: 256 random bits, of which only the SHA-256 is kept. With so many bits, a plain checksum is
as good as a slow one, and the time of a look-up by checksum says nothing about the secret."""

from __future__ import annotations

import hashlib
import secrets

_BYTES = 32
# No secret is longer; longer ones are not hashed.
_LONGEST = 256


def new_secret(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(_BYTES)


def digest_of(secret: str) -> str:
    """The SHA-256 in hexadecimal; of a text that cannot be a secret, that of no secret."""
    usable = secret if secret.isascii() and 0 < len(secret) <= _LONGEST else ""
    return hashlib.sha256(usable.encode()).hexdigest() if usable else ""
