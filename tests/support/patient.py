"""A home and a host for the doctor to look at, hurt for real: in a mount namespace of its own, or as another user.

What is hurt that way is gone with the namespace; nothing of the host's own is touched.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65534
# Everything that a program may want of /dev, but for /dev/kvm and /dev/net.
BARE_DEV = """\
mount --bind /dev /mnt && mount -t tmpfs -o mode=0755 none /dev
for name in null zero full random urandom tty; do touch /dev/$name; mount --bind /mnt/$name /dev/$name; done
umount -l /mnt"""

Finding = dict[str, Any]


class Patient:
    """`directory` becomes its BANGER_HOME, which is not there yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BANGER_", "XDG_"))}
        self.env = {
            **kept,
            "BANGER_HOME": str(directory),
            "PYTHONPATH": str(REPOSITORY / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "error",
        }

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def doctor(
        self, *words: str, hurt: str = "", user: int = 0, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """`banger doctor WORDS`. `hurt` are commands of root in a mount namespace of its own, `user` who it is after
        them."""
        argv = [sys.executable, "-m", "banger.cli.main", "doctor", *words]
        if hurt or user:
            argv = plan_hurt(argv, hurt, user)
        return subprocess.run(
            argv, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )

    def look(
        self, check: str, *, hurt: str = "", user: int = 0, env: Mapping[str, str] | None = None
    ) -> Finding:
        """What that check finds."""
        self.env.update(env or {})
        done = self.doctor("--json", "--check", check, hurt=hurt, user=user)
        assert done.stdout, done.stderr
        (finding,) = json.loads(done.stdout)["findings"]
        assert isinstance(finding, dict)
        return finding

    def write_config(self, text: str) -> None:
        (self.directory / "config").mkdir(parents=True, exist_ok=True)
        (self.directory / "config/config.toml").write_text(text)


def plan_hurt(argv: list[str], hurt: str, user: int) -> list[str]:
    """Skips where there can be no mount namespace."""
    require_mounts()
    steps = ["set -eu", hurt]
    if user:
        steps.append(_open_way(Path(sys.base_prefix)))
        argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *argv]
    script = "\n".join([*steps, 'exec "$@"'])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *argv]


def require_mounts() -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: CAP_SYS_ADMIN, to hurt a host in a mount namespace")
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"capability missing: CAP_SYS_ADMIN: {done.stderr.strip()}")


def _open_way(directory: Path) -> str:
    """Have a directory that lies below a private one (an interpreter in root's home) where others can reach it."""
    closed = [parent for parent in reversed(directory.parents) if not parent.stat().st_mode & 0o001]
    if not closed:
        return ""
    there, above = shlex.quote(str(directory)), shlex.quote(str(closed[0]))
    return f"""\
way=$(mktemp -d) && mount --bind {there} "$way"
mount -t tmpfs -o mode=0755 none {above} && mkdir -p {there} && mount --move "$way" {there}
rmdir "$way\""""


@contextmanager
def open_patient() -> Iterator[Patient]:
    """Its home is where any user can reach it, and has a path that is short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="patient-", dir="/tmp"))
    try:
        directory.chmod(0o755)
        yield Patient(directory / "home")
    finally:
        shutil.rmtree(directory)


def write_program(directory: Path, name: str, body: str, mode: int = 0o755) -> Path:
    """A shell script for PATH."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path
