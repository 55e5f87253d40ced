"""What keeps made-up requests from hurting the host: verbs that are left out, and values that are bent, each with its
reason. All else is sent as it was made up."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Verbs that no made-up request is for.
LEFT_OUT = {
    "system_shutdown": "it ends the daemon",
    "access_close": "it ends the door through which half of the requests come",
}
# Verbs whose images are never there.
NEVER_THERE = {"images_save": "to pack an image takes as long as all other requests together"}
# They end the machine, or change what the other verbs rely on: they get the machine that does not run.
FOR_THE_SPARE = {
    *(
        "machines_delete",
        "machines_stop",
        "machines_restart",
        "machines_kill",
        "machines_rename",
        "machines_reset",
    ),
    *("machines_change_expiry", "machines_update", "machines_wait", "machines_commit", "machines_restore"),
    *("machines_fork", "machines_start"),
}
# No daemon listens there, and a request to it does not leave the host.
NOWHERE = "127.0.0.1:9"
_DIGIT = re.compile(r"\d")
Bend = Callable[[Any], Any]


def bends(scratch: Path) -> dict[str, Bend]:
    """By the name of a field, wherever it is in a body."""

    def below(value: Any) -> Any:
        """A path of the host: the daemon would write there, or read what is not ours."""
        return f"{scratch}/{value}" if isinstance(value, str) else value

    def nowhere(value: Any) -> Any:
        """A registry: a name would be asked for on the internet."""
        return f"{NOWHERE}/{value}" if isinstance(value, str) else value

    return {
        "ref": nowhere,
        "image": nowhere,
        "registry": nowhere,
        "kernel": lambda value: (
            "" if isinstance(value, str) else value
        ),  # Debian's archive would be asked for others
        "url": lambda value: f"https://{NOWHERE}/{value}" if isinstance(value, str) else value,
        "rootfs": below,
        "directory": below,
        "key_file": below,
        "source": below,
        # Ports of the host, for anybody.
        "ports": lambda value: [] if isinstance(value, list) else value,
        "port": lambda value: "127.0.0.1::80" if isinstance(value, str) and _DIGIT.search(value) else value,
        # Of a volume: the tables of a large one take long to write.
        "size_bytes": lambda value: min(value, 1 << 32) if isinstance(value, int) else value,
        "count": lambda value: 1 if isinstance(value, int) else value,  # 256 copies of a machine
        "restart": lambda value: "no" if isinstance(value, str) else value,  # a machine without end
    }


def bend(value: Any, by_name: dict[str, Bend]) -> Any:
    """The body with its fields bent."""
    if isinstance(value, dict):
        return {
            k: by_name.get(k, _same)(bend(v, by_name)) if isinstance(k, str) else v for k, v in value.items()
        }
    return [bend(one, by_name) for one in value] if isinstance(value, list) else value


def _same(value: Any) -> Any:
    return value
