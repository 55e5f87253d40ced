"""The secrets of a machine: given to its guest at each start, once the guest is this machine. Templates and waiting
clones never have any.

A guest with secrets has them in its memory, so it is not frozen: a snapshot would have them in clear.
"""

from __future__ import annotations

import logging
import posixpath
import re

from banger.errors import Error
from banger.guests.secrets import give
from banger.machines.life.live import LiveMachine
from banger.model.event import Tell
from banger.model.machine import Machine, MachineSpec
from banger.model.secret import DIRECTORY, SecretUse
from banger.vault.vault import Vault

log = logging.getLogger("banger.machines")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The kernel's limit of one variable, with its name and its end.
_VARIABLE_MAX_BYTES = 128 * 1024
_NEVER = ("/dev", "/proc", "/sys")


def check_secrets(spec: MachineSpec) -> None:
    """Raises `bad_spec` for uses of secrets that cannot be."""
    targets = [mount.target for mount in spec.mounts] + [volume.target for volume in spec.volumes]
    targets += [text.partition(":")[0] for text in spec.tmpfs]
    if spec.secrets and any(_is_below(posixpath.normpath(target), DIRECTORY) for target in targets):
        raise Error(
            "bad_spec",
            f"a machine with secrets has them in {DIRECTORY}, where nothing else can be mounted",
            "choose another directory",
        )
    taken: set[str] = set()
    given = spec.command.env if spec.command else {}
    for use in spec.secrets:
        place = _check_variable(use) if use.kind == "env" else _check_path(use)
        if place in taken or (use.kind == "env" and place in given):
            raise _refuse(use, f"{place} is given twice", "give each file and each variable once")
        taken.add(place)


def _check_variable(use: SecretUse) -> str:
    if not _VARIABLE.fullmatch(use.variable):
        hint = f"name the variable: --secret {use.name}=env:VARIABLE"
        raise _refuse(use, "its variable needs a name of letters, digits and '_'", hint)
    return use.variable


def _check_path(use: SecretUse) -> str:
    parts = use.path.split("/")[1:]
    if ".." in parts or "." in parts or "" in parts or len(use.path.encode("utf-8", "replace")) > 500:
        raise _refuse(use, "its path is not that of a file", "write it like file:/etc/app/key")
    if use.path.startswith(f"{DIRECTORY}/."):
        raise _refuse(use, "banger keeps files of its own there", "use a name without a dot in front")
    if any(_is_below(use.path, never) for never in _NEVER):
        raise _refuse(use, "no secret can be there", "choose another path")
    return use.path


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _refuse(use: SecretUse, why: str, hint: str) -> Error:
    return Error("bad_spec", f"the secret {use.name} cannot be used like that: {why}", hint)


def refuse_secret_memory(machine: Machine, *, asked: bool = False) -> None:
    """Raises `unsupported` for a machine whose memory has secrets, unless the user has `asked` for copies of them."""
    if machine.spec.secrets and not asked:
        raise Error(
            "unsupported",
            f"{machine.name} has secrets in its memory, so its memory is not copied",
            "`banger fork --with-secrets` makes copies that have them; `banger commit` copies the disk alone",
        )


async def require_secrets(vault: Vault, spec: MachineSpec) -> None:
    """Raises what would prevent that the machine gets its secrets: `secret_not_found`, `secret_key_lost`,
    `secret_damaged`, `bad_spec`. Called before anything is started."""
    for use in spec.secrets:
        _check_value(use, await vault.open(use.name))


async def give_secrets(vault: Vault, live: LiveMachine, user: str, tell: Tell) -> None:
    """Give the guest that has just started its secrets. `user`: whom the files belong to in it. Raises as
    `require_secrets`, and the errors of the agent."""
    machine = live.machine
    if not machine.spec.secrets:
        return
    for use in machine.spec.secrets:
        value = await vault.open(use.name)
        _check_value(use, value)
        await give(live.agent(), use, value, user)
    names = [*dict.fromkeys(use.name for use in machine.spec.secrets)]
    log.info("machine=%s secrets=%s", machine.name, ",".join(names))
    message = (
        f"{machine.name} was given {'the secret' if len(names) == 1 else 'the secrets'} {', '.join(names)}"
    )
    tell("secret.given", f"machine/{machine.name}", message, id=machine.id, secrets=names)


def _check_value(use: SecretUse, value: bytes) -> None:
    if use.kind == "file":
        return
    if b"\0" in value:
        raise _refuse(use, "a variable cannot have a zero byte", f"use a file: --secret {use.name}=file")
    if len(use.variable) + len(value) + 2 > _VARIABLE_MAX_BYTES:
        raise _refuse(use, "a variable has less than 128 KiB", f"use a file: --secret {use.name}=file")
