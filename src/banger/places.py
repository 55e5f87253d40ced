"""Where the API socket is. Strings and the environment only, so that a client costs nothing to start.

The run directory holds sockets, whose paths have at most 107 bytes, so it is kept short.
"""

from __future__ import annotations

import os
import stat
import zlib

from banger.errors import Error

SYSTEM_RUN = "/run/banger"
_LONGEST_RUN = 60


def run_directory() -> str:
    """User mode's run directory: under BANGER_HOME when set, else XDG_RUNTIME_DIR, else /tmp."""
    home = os.environ.get("BANGER_HOME")
    if home:
        inside = os.path.join(os.path.abspath(home), "run")
        if len(inside) <= _LONGEST_RUN:
            return inside
        return f"{_base()}/banger-{zlib.crc32(inside.encode()):08x}"
    return f"{_base()}/banger"


def socket_path() -> str:
    """BANGER_SOCKET when set, else user mode's socket."""
    return os.environ.get("BANGER_SOCKET") or run_directory() + "/banger.sock"


def ensure_private_directory(path: str) -> None:
    """Make `path` and its missing parents with mode 0700, or check that it is ours and nobody else's.

    A directory in /tmp may have been put there by another user. Raises `daemon_unreachable`.
    """
    path = os.path.abspath(path)
    for parent in _ancestors(path):
        _make_private(parent)
        info = os.stat(parent)
        open_to_all = info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX
        if open_to_all or info.st_uid not in (0, os.geteuid()):
            raise _not_ours(parent)
    _make_private(path)
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise _not_ours(path)
    if info.st_mode & 0o077:
        os.chmod(path, 0o700)


def _ancestors(path: str) -> list[str]:
    """From the root down, without `path` itself."""
    names = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(names[:count]) for count in range(1, len(names) + 1)]


def _make_private(path: str) -> None:
    try:
        os.mkdir(path, mode=0o700)
    except FileExistsError:
        pass
    except OSError as exc:
        raise Error(
            "daemon_unreachable", f"cannot make {path}: {exc.strerror}", "set BANGER_HOME or XDG_RUNTIME_DIR"
        ) from exc


def _not_ours(path: str) -> Error:
    return Error(
        "daemon_unreachable",
        f"{path} is not a directory of ours alone",
        "remove it, or set XDG_RUNTIME_DIR to a directory that only you can write",
    )


def _base() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and len(runtime) <= _LONGEST_RUN and os.path.isdir(runtime):
        return runtime.rstrip("/")
    usual = f"/run/user/{os.geteuid()}"
    if os.access(usual, os.W_OK):
        return usual
    private = f"/tmp/banger-of-{os.geteuid()}"
    return private
