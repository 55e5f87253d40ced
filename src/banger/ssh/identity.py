"""The keys of this installation: one key of its user, and a host key for each machine.

Host keys are derived from one secret and the id of the machine: they stay as long as the machine, a copy has another
one, and nothing is left of a machine that is deleted. Everything is below `<state>/ssh`, for this user alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from banger import places
from banger.client.whole_file import write_beside
from banger.directories import ensure_own_directory
from banger.errors import Error

_SECRET_BYTES = 32
_PURPOSE = b"banger: ssh host key of "


class Identity(NamedTuple):
    """`directory` has `id_ed25519` and `id_ed25519.pub` of the user, `secret` and `known_hosts`."""

    directory: str

    @property
    def user_key(self) -> str:
        return os.path.join(self.directory, "id_ed25519")

    @property
    def known_hosts(self) -> str:
        return os.path.join(self.directory, "known_hosts")

    @property
    def config(self) -> str:
        """What users include into their configuration of OpenSSH."""
        return os.path.join(self.directory, "config")

    def read_user_key(self) -> bytes:
        """The public key of the user, as OpenSSH writes it."""
        return _read(self.user_key + ".pub")

    def host_key(self, machine_id: str) -> Ed25519PrivateKey:
        secret = _read(os.path.join(self.directory, "secret"))
        if len(secret) != _SECRET_BYTES:
            raise _damaged(self.directory)
        seed = hmac.new(secret, _PURPOSE + machine_id.encode(), hashlib.sha256).digest()
        return Ed25519PrivateKey.from_private_bytes(seed)

    def note_host(self, names: Iterable[str], machine_id: str, existing: Iterable[str]) -> None:
        """Write the host key of a machine to `known_hosts`, under all of its names, and take out what is there under
        these names, and of machines that do not exist any more."""
        public = public_text(self.host_key(machine_id))
        lines = [f"{name} {public} {machine_id}" for name in sorted(set(names))]
        with _locked(self.directory):
            kept = keep_lines(_read_lines(self.known_hosts), set(names), set(existing))
            write_whole(self.known_hosts, "".join(f"{line}\n" for line in [*kept, *lines]).encode())


def keep_lines(lines: Iterable[str], names: set[str], existing: set[str]) -> list[str]:
    """The lines of other names whose machines exist. Pure."""
    split = [(line, line.split()) for line in lines]
    return [
        line for line, words in split if len(words) == 4 and words[0] not in names and words[3] in existing
    ]


def private_text(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def public_text(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def ensure_identity() -> Identity:
    """The keys, made at the first use. Raises `daemon_unreachable` for a directory that others may change, and
    `credentials_error`."""
    directory = os.path.join(places.state_directory(), "ssh")
    ensure_own_directory(places.state_directory())
    ensure_own_directory(directory)
    identity = Identity(directory)
    with _locked(directory):
        if not os.path.exists(os.path.join(directory, "secret")):
            write_whole(os.path.join(directory, "secret"), secrets.token_bytes(_SECRET_BYTES))
        if not (os.path.exists(identity.user_key) and os.path.exists(identity.user_key + ".pub")):
            key = Ed25519PrivateKey.generate()
            write_whole(identity.user_key, private_text(key))
            write_whole(identity.user_key + ".pub", f"{public_text(key)} banger\n".encode())
    return identity


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Other processes wait, each for a few writes."""
    try:
        fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _cannot("write to", directory, exc) from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_whole(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put a file in its place at once, whole. Raises `credentials_error`."""
    try:
        write_beside(path, [data], mode=mode)
    except OSError as exc:
        raise _cannot("write", path, exc) from exc


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as exc:
        raise _cannot("read", path, exc) from exc


def _read_lines(path: str) -> list[str]:
    return _read(path).decode("utf-8", "replace").splitlines() if os.path.exists(path) else []


def _cannot(verb: str, path: str, exc: OSError) -> Error:
    return Error("credentials_error", f"cannot {verb} {path}: {exc.strerror}", "see to its permissions")


def _damaged(directory: str) -> Error:
    return Error(
        "credentials_error",
        f"{directory}/secret is damaged",
        f"remove {directory}: the next use makes new keys",
    )
