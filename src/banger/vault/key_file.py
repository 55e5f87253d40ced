"""The file with the key of this installation. Blocking."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from banger.errors import Error
from banger.host.fs import publish
from banger.vault.sealing import KEY_BYTES


class KeyFile:
    """The file is made for the first secret, and never after that."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """The key; None if there is no file. Raises `secret_key_lost` for a file that cannot be a key, or that others
        may read."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unusable(exc.strerror, "let this user read it") from exc
        try:
            self._check(os.fstat(fd))
            key = os.read(fd, KEY_BYTES + 1)
        except OSError as exc:
            raise self._unusable(exc.strerror, "let this user read it") from exc
        finally:
            os.close(fd)
        if len(key) != KEY_BYTES:
            raise self._unusable(f"it does not have {KEY_BYTES} bytes", "put the file back that was there")
        return key

    def make(self) -> bytes:
        """A new key. Only if there is no file. Raises `insufficient_disk`."""
        partial = self.path.with_name(f".{self.path.name}.partial")
        key = os.urandom(KEY_BYTES)
        try:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(key)
            publish(partial, self.path)
        except OSError as exc:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise Error(
                "insufficient_disk",
                f"cannot write the key of secrets, {self.path}: {exc.strerror}",
                "free space there, or name another file in config.toml",
            ) from exc
        return key

    def _check(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise self._unusable("it is not a file", "put the file back that was there")
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o077:
            raise self._unusable("other users may read or change it", f"chmod 600 {self.path}")

    def _unusable(self, why: str | None, hint: str) -> Error:
        return Error("secret_key_lost", f"the key of secrets, {self.path}, cannot be used: {why}", hint)
