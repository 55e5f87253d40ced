"""The paths of the API's socket, of the state and of the configuration. Only strings and the environment, so that
importing this costs a client nothing.

The run directory holds sockets, whose paths have at most 107 bytes, so its path is short.
"""

from __future__ import annotations

import os
import zlib

from banger.errors import Error

SYSTEM_RUN = "/run/banger"
SYSTEM_CONFIG = "/etc/banger"
# Browsers lead this name to the loopback by themselves. They send a cookie to all ports of its host; guests are at
# ports of 127.0.0.1 and localhost, and at this name there is the page alone.
PAGE_NAME = "banger.localhost"
_LONGEST_RUN = 60


def run_directory() -> str:
    """User mode's run directory: below BANGER_HOME if that is set, else XDG_RUNTIME_DIR, else below /tmp."""
    home = os.environ.get("BANGER_HOME")
    if home:
        inside = os.path.join(os.path.abspath(home), "run")
        if len(inside) <= _LONGEST_RUN:
            return inside
        return f"{_base()}/banger-{zlib.crc32(inside.encode()):08x}"
    return f"{_base()}/banger"


def socket_path() -> str:
    """BANGER_SOCKET if that is set, else user mode's socket."""
    return os.environ.get("BANGER_SOCKET") or run_directory() + "/banger.sock"


def state_directory() -> str:
    """User mode's state directory: below BANGER_HOME if that is set, else as XDG says. Raises `daemon_start_failed`."""
    return _own_directory("state", "XDG_STATE_HOME", ".local/state")


def config_directory(system: bool = False) -> str:
    """The directory of config.toml: of the system's daemon, or as `state_directory`. Raises `daemon_start_failed`."""
    return SYSTEM_CONFIG if system else _own_directory("config", "XDG_CONFIG_HOME", ".config")


def _own_directory(name: str, variable: str, usual: str) -> str:
    own = os.environ.get("BANGER_HOME")
    if own:
        return os.path.join(os.path.abspath(own), name)
    base = os.environ.get(variable, "")
    if not base.startswith("/"):
        base = os.path.join(home_directory(), usual)
    return os.path.join(base, "banger")


def home_directory() -> str:
    """The user's home directory. Raises `daemon_start_failed` if nothing says where it is."""
    home = os.environ.get("HOME") or _home_on_record()
    if home.startswith("/"):
        return home
    raise Error(
        "daemon_start_failed",
        f"user {os.geteuid()} has no home directory",
        "set BANGER_HOME to a directory that only you can write to",
    )


def _home_on_record() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""


def _base() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and runtime.startswith("/") and len(runtime) <= _LONGEST_RUN and os.path.isdir(runtime):
        return runtime.rstrip("/")
    usual = f"/run/user/{os.geteuid()}"
    if os.access(usual, os.W_OK):
        return usual
    return f"/tmp/banger-of-{os.geteuid()}"
