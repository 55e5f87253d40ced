"""What --platform, --pull and --cidfile of `run` and `create` do before and after a machine is made."""

from __future__ import annotations

import os

from banger.cli.daemon import Daemon
from banger.client import calls
from banger.errors import Error, NoSuchImage

_SAME = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}


def settle_platform(wanted: str | None) -> None:
    """Raises `bad_spec` for a platform that a machine of this host cannot have."""
    if not wanted:
        return
    own = _SAME.get(os.uname().machine, os.uname().machine)
    system, slash, rest = wanted.lower().partition("/")
    architecture = (rest if slash else system).partition("/")[0]
    if (slash and system != "linux") or _SAME.get(architecture, architecture) != own:
        hint = f"`banger pull --platform {wanted} REF` fetches such an image, for `banger image export`"
        raise Error("bad_spec", f"--platform {wanted}: machines of this host are linux/{own}", hint)


def settle_pull(when: str, ref: str, quiet: bool) -> None:
    """Pull the image again ("always"), or raise `image_not_found` if it is not here ("never")."""
    if when == "missing":
        return
    daemon = Daemon()
    if when == "always":
        from banger.cli.watching import finish_operation

        finish_operation(daemon, daemon.record(calls.images_pull(ref, force=True)), quiet)
        return
    try:
        daemon.call(calls.images_get(ref))
    except NoSuchImage as exc:
        raise Error(
            exc.code, f"{ref} is not here, and --pull never forbids to fetch it", f"banger pull {ref}"
        ) from exc


def prepare_cidfile(path: str | None) -> None:
    """Raises `bad_request` for a file that exists."""
    if path and os.path.lexists(path):
        raise Error("bad_request", f"--cidfile {path} exists", "remove the file, or name another one")


def write_cidfile(path: str, machine: str) -> None:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(machine)
    except OSError as exc:
        raise Error(
            "file_not_found",
            f"cannot write --cidfile {path}: {exc.strerror}; the machine is {machine}",
            "choose a file that you may write",
        ) from exc
