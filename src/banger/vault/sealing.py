"""The form of a sealed value: AES-256-GCM under the key of this installation. Pure, but for chance.

    b"banger\\0\\1"   8 bytes, which also tell the version
    key id           8 bytes
    nonce            12 bytes, random for each value
    ciphertext       as long as the value
    tag              16 bytes

The name of the secret and the time of its value are authenticated with it: a value that was moved to another name, or
back to an earlier time, does not open.
"""

from __future__ import annotations

import hashlib
import os

from banger.errors import Error

KEY_BYTES = 32
OVERHEAD_BYTES = 44
_MAGIC = b"banger\0\1"
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 8, 12, 16
_HEAD_BYTES = len(_MAGIC) + _ID_BYTES + _NONCE_BYTES


def id_of(key: bytes) -> bytes:
    """What tells keys apart, and nothing about them."""
    return hashlib.blake2b(b"id", digest_size=_ID_BYTES, key=key, person=b"banger secrets").digest()


def seal(key: bytes, name: str, changed: str, value: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 20 ms

    nonce = os.urandom(_NONCE_BYTES)
    return b"".join((_MAGIC, id_of(key), nonce, AESGCM(key).encrypt(nonce, value, _context(name, changed))))


def unseal(key: bytes, name: str, changed: str, sealed: bytes) -> bytes:
    """Raises `secret_key_lost` for a value under another key, `secret_damaged` for a changed value."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(sealed) < _HEAD_BYTES + _TAG_BYTES or not sealed.startswith(_MAGIC):
        raise damaged(name)
    named, nonce = sealed[len(_MAGIC) :][:_ID_BYTES], sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
    if named != id_of(key):
        raise Error(
            "secret_key_lost",
            f"the secret {name} was encrypted with another key than this daemon has",
            f"put the key back that it had, or set the secret again: banger secret set {name}",
        )
    try:
        return AESGCM(key).decrypt(nonce, sealed[_HEAD_BYTES:], _context(name, changed))
    except InvalidTag as exc:
        raise damaged(name) from exc


def damaged(name: str) -> Error:
    return Error(
        "secret_damaged",
        f"the secret {name} is damaged: what the store has of it was changed",
        f"set it again: banger secret set {name}",
    )


def _context(name: str, changed: str) -> bytes:
    """No name has a NUL."""
    return _MAGIC + f"{name}\0{changed}".encode()
