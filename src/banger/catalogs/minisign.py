"""Signatures as minisign makes and checks them: Ed25519 over a file, and over a trusted comment.

Source: minisign's own description of its signature, public key and secret key formats (version 0.11). OpenSSL has the
curve, through `cryptography`, which is loaded at the first use: that takes 60 ms and 10 MB.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from banger.errors import Error

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_UNTRUSTED = b"untrusted comment: "
_TRUSTED = b"trusted comment: "
_PURE, _PREHASHED = b"Ed", b"ED"  # over the bytes, as signify does; over their BLAKE2b-512
_SCRYPT, _BLAKE2B, _NO_KDF = b"Sc", b"B2", b"\0\0"
_MAX_SIGNATURE_BYTES = 16 * 1024
_MAX_SCRYPT_BYTES = 1 << 30


@dataclass(frozen=True)
class PublicKey:
    """`key` is what verifies, 32 bytes. `number` only tells several keys apart."""

    number: bytes
    key: bytes

    def __str__(self) -> str:
        """As minisign prints it: "RW...", 56 characters."""
        return base64.b64encode(_PURE + self.number + self.key).decode()


@dataclass(frozen=True)
class SecretKey:
    """`seed` has 32 bytes, and is never printed."""

    number: bytes
    seed: bytes

    def __repr__(self) -> str:
        return "<SecretKey>"

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.number, _private(self.seed).public_key().public_bytes_raw())


def parse_public_key(text: str) -> PublicKey:
    """Parse the text of a key, or the file that contains one. Raises `bad_request`."""
    lines = [line.strip() for line in text.strip().splitlines()]
    data = _decode(lines[-1].encode() if lines and len(lines) < 3 else b"")
    if data is None or len(data) != 42 or data[:2] != _PURE:
        raise Error(
            "bad_request",
            "this is not a minisign public key",
            "a public key has 56 characters and begins with RW",
        )
    return PublicKey(data[2:10], data[10:])


def verify(key: PublicKey, data: bytes, signature: bytes) -> str:
    """Check a signature and return its trusted comment. Raises `catalog_untrusted`."""
    algorithm, number, signed, comment, over_comment = _parse_signature(signature)
    if number != key.number:
        raise _untrusted(f"it is signed with another key ({_shown(number)}, not {_shown(key.number)})")
    message = hashlib.blake2b(data).digest() if algorithm == _PREHASHED else data
    if not _fits(key, message, signed):
        raise _untrusted("the signature does not match: the index or its signature was damaged or changed")
    if not _fits(key, signed + comment, over_comment):
        raise _untrusted("the comment of the signature was changed")
    return comment.decode("utf-8", "replace")


def sign(key: SecretKey, data: bytes, comment: str) -> bytes:
    """The signature file for `data`. `comment` is one line, and is signed, too."""
    private = _private(key.seed)
    signed = private.sign(hashlib.blake2b(data).digest())
    over_comment = private.sign(signed + comment.encode())
    return b"\n".join(
        (
            _UNTRUSTED + b"signature of a banger catalog",
            base64.b64encode(_PREHASHED + key.number + signed),
            _TRUSTED + comment.encode(),
            base64.b64encode(over_comment),
            b"",
        )
    )


def parse_secret_key(text: str, password: str = "") -> SecretKey:
    """Parse a file that `minisign -G` wrote. Raises `bad_request`, also for a wrong password."""
    lines = text.strip().splitlines()
    data = _decode(lines[1].strip().encode()) if len(lines) == 2 else None
    if data is None or len(data) != 158 or data[:2] != _PURE or data[4:6] != _BLAKE2B:
        raise Error("bad_request", "this is not a minisign secret key", "make a key with minisign -G")
    body = data[54:]
    if data[2:4] == _SCRYPT:
        body = _unlock(body, password, data[6:38], data[38:46], data[46:54])
    elif data[2:4] != _NO_KDF:
        raise Error("unsupported", "the secret key is protected in an unknown way")
    number, seed, public, checksum = body[:8], body[8:40], body[40:72], body[72:]
    expected = hashlib.blake2b(_PURE + number + seed + public, digest_size=32).digest()
    # A key without a password may have a checksum or not.
    if checksum != expected and (data[2:4] == _SCRYPT or checksum.strip(b"\0")):
        raise Error("bad_request", "the password of the secret key is wrong")
    return SecretKey(number, seed)


def _unlock(body: bytes, password: str, salt: bytes, operations: bytes, memory: bytes) -> bytes:
    n, r, p = _scrypt_cost(int.from_bytes(operations, "little"), int.from_bytes(memory, "little"))
    if n * r * 128 > _MAX_SCRYPT_BYTES:
        raise Error("unsupported", "the secret key needs more than 1 GiB of memory to be unlocked")
    room = n * r * 128 + 64 * 1024 * 1024
    stream = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=room, dklen=len(body))
    return bytes(one ^ other for one, other in zip(body, stream, strict=True))


def _scrypt_cost(operations: int, memory: int) -> tuple[int, int, int]:
    """N, r and p, as libsodium's crypto_pwhash_scryptsalsa208sha256 computes them (`pickparams`)."""
    operations, r, p = max(32768, operations), 8, 1
    n_max = operations // (r * 4) if operations < memory // 32 else memory // (r * 128)
    n_log2 = next((power for power in range(1, 63) if (1 << power) > n_max // 2), 63)
    if operations >= memory // 32:
        p = max(1, min(operations // 4 >> n_log2, 0x3FFFFFFF) // r)
    return 1 << n_log2, r, p


def _parse_signature(signature: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Algorithm, key number, signature, trusted comment, and the signature over signature and comment."""
    lines = signature[:_MAX_SIGNATURE_BYTES].splitlines()
    if len(lines) < 4 or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
        raise _untrusted("the signature file is not one of minisign")
    head, tail = _decode(lines[1]), _decode(lines[3])
    if head is None or tail is None or len(head) != 74 or len(tail) != 64:
        raise _untrusted("the signature is malformed")
    if head[:2] not in (_PURE, _PREHASHED):
        raise _untrusted("the signature is of an unknown kind")
    return head[:2], head[2:10], head[10:], lines[2].removeprefix(_TRUSTED), tail


def _fits(key: PublicKey, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _decode(text: bytes) -> bytes | None:
    """Decode base64; None if the text is not base64, or not its canonical form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data) == text else None


def _shown(number: bytes) -> str:
    """A key number as minisign shows it."""
    return number[::-1].hex().upper()


def _untrusted(reason: str) -> Error:
    return Error(
        "catalog_untrusted", f"the index cannot be trusted: {reason}", "ask the publisher of the catalog"
    )
