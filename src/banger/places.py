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
    """Make `path` (and its parents) with mode 0700, or check that it is ours and nobody else's.

    A directory in /tmp may have been put there by another user. Raises `daemon_unreachable`.
    """
    try:
        os.makedirs(path, mode=0o700)
    except FileExistsError:
        pass
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise Error(
            "daemon_unreachable",
            f"{path} is not a directory of ours",
            "remove it, or set XDG_RUNTIME_DIR to a directory that only you can write",
        )
    if info.st_mode & 0o077:
        os.chmod(path, 0o700)


def _base() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and len(runtime) <= _LONGEST_RUN and os.path.isdir(runtime):
        return runtime.rstrip("/")
    usual = f"/run/user/{os.geteuid()}"
    if os.access(usual, os.W_OK):
        return usual
    private = f"/tmp/banger-of-{os.geteuid()}"
    return private
