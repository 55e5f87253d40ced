"""SSH: a command as a whole process of OpenSSH, alone and over a connection that is open already, and copies of a large
file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.noise import in_turns, timed_ms
from bench.place import BUILD, banger, call
from bench.table import Row

COPIED_BYTES = 100_000_000
_PIECE_BYTES = 1_000_000


def measure(machine: str) -> list[Row]:
    config, host = str(BUILD / "ssh.config"), f"{machine}.banger"
    banger("ssh-config", "--install", "--file", config)
    ssh, scp = ["ssh", "-F", config], ["scp", "-q", "-F", config]
    there, back = BUILD / "copied", BUILD / "copied.back"
    with open(there, "wb") as file:
        for _ in range(COPIED_BYTES // _PIECE_BYTES):
            file.write(os.urandom(_PIECE_BYTES))
    try:
        with _master([*ssh, "-o", f"ControlPath={BUILD / 'way'}"], host) as shared:
            commands = {
                "ssh": partial(timed_ms, partial(call, *ssh, host, "true")),
                "shared": partial(timed_ms, partial(call, *shared, host, "true")),
                "exec": partial(timed_ms, partial(banger, "vm", "exec", machine, "--", "true")),
            }
            taken = in_turns(commands, runs=5)
        copies = {
            "there": partial(_timed_s, [*scp, str(there), f"{host}:/root/copied"]),
            "back": partial(_timed_s, [*scp, f"{host}:/root/copied", str(back)]),
            "cp": partial(_timed_s, None, str(there), f"{machine}:/root/copied.cp"),
        }
        copied = in_turns(copies, runs=2, warm_ups=0)
    finally:
        banger("ssh-config", "--uninstall", "--file", config)
        there.unlink(missing_ok=True)
        back.unlink(missing_ok=True)
    return [
        Row("ssh NAME.banger true, a whole process", "ms", taken["ssh"]),
        Row("  over a connection that is open (ControlMaster)", "ms", taken["shared"]),
        Row("  banger vm exec NAME true, beside it", "ms", taken["exec"]),
        Row("scp of 100 MB into a machine", "s", copied["there"]),
        Row("scp of 100 MB out of a machine", "s", copied["back"]),
        Row("  banger vm cp of 100 MB into a machine, beside it", "s", copied["cp"]),
    ]


def _timed_s(argv: list[str] | None, *copied: str) -> float:
    action = partial(banger, "vm", "cp", *copied) if argv is None else partial(call, *argv)
    return timed_ms(action) / 1000


@contextmanager
def _master(ssh: list[str], host: str) -> Iterator[list[str]]:
    """A connection that stays; the words of an `ssh` that uses it."""
    # Its proxy would hold a pipe of ours open.
    subprocess.run([*ssh, "-M", "-f", "-N", host], check=True, stderr=subprocess.DEVNULL)
    try:
        yield ssh
    finally:
        subprocess.run([*ssh, "-O", "exit", host], check=True, capture_output=True)
