"""What OpenSSH must be told to reach machines: options for its command line, or a file that the user's configuration
includes."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from collections.abc import Iterator, Mapping

from banger.errors import Error
from banger.ssh.identity import Identity, write_whole

DOMAIN = ".banger"
# Where our daemon and our keys are, if the user says so.
_PLACES = (
    *("BANGER_HOME", "BANGER_SOCKET", "XDG_STATE_HOME"),
    *("BANGER_HOST", "BANGER_TOKEN_FILE", "BANGER_CA_FILE"),
)
_NOTE = "# Machines of banger; `banger ssh-config --uninstall` takes these two lines out."


def host_name(name: str) -> str:
    """The name by which OpenSSH knows a machine, whether or not it has the suffix already."""
    return name if name.endswith(DOMAIN) else name + DOMAIN


def plan_options(identity: Identity, environment: Mapping[str, str]) -> dict[str, str]:
    """Options of OpenSSH. This process is quickest with the first cipher."""
    return {
        "ProxyCommand": f"{_plan_proxy(environment)} '%n'",
        "IdentityFile": _quoted(identity.user_key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": _quoted(identity.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "Ciphers": "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com",
    }


def plan_config(identity: Identity, environment: Mapping[str, str]) -> str:
    """The file to include. A name with an apostrophe is no machine's, and must not get into a shell's line."""
    options = {"User": "root", **plan_options(identity, environment)}
    lines = "".join(f"    {name} {value}\n" for name, value in options.items())
    return f'# Made by `banger ssh-config`, which overwrites it.\nHost *{DOMAIN} "!*\'*"\n{lines}'


def plan_command(
    identity: Identity, environment: Mapping[str, str], name: str, words: list[str]
) -> list[str]:
    """An argv of OpenSSH: `name` is NAME or USER@NAME, `words` are what follows."""
    user, at, machine = name.rpartition("@")
    options = {**plan_options(identity, environment), **({} if at else {"User": "root"})}
    given = [word for one, value in options.items() for word in ("-o", f"{one}={value}")]
    return ["ssh", *given, f"{user}{at}{host_name(machine)}", *words]


def _plan_proxy(environment: Mapping[str, str]) -> str:
    """A line for the user's shell. OpenSSH expands %."""
    places = [f"{name}={environment[name]}" for name in _PLACES if environment.get(name)]
    program = [sys.executable, "-P", "-m", "banger.cli.main", "vm", "ssh-proxy"]
    return shlex.join([*(["env", *places] if places else []), *program]).replace("%", "%%")


def _quoted(path: str) -> str:
    """A path for a line of the configuration, where % begins a token."""
    if '"' in path or "\n" in path:
        raise Error(
            "bad_request", f"OpenSSH cannot use a path such as {path!r}", "set BANGER_HOME to another one"
        )
    return '"' + path.replace("%", "%%") + '"'


def usual_config() -> str:
    """Where OpenSSH looks: it does not ask HOME."""
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError as exc:
        raise Error(
            "bad_request", "this user has no home directory on record", "name a file with --file"
        ) from exc
    return os.path.join(home, ".ssh", "config")


def install(identity: Identity, environment: Mapping[str, str], path: str) -> bool:
    """Make the file to include, and include it into the user's configuration. False if that was there already."""
    write_whole(identity.config, plan_config(identity, environment).encode())
    lines = _read(path)
    ours = _lines_of(identity)
    if ours[1] in lines:
        return False
    _write(path, [*ours, *lines])
    return True


def uninstall(identity: Identity, path: str) -> bool:
    """Take it out again. False if it was not there."""
    lines = _read(path)
    kept = list(_without(lines, _lines_of(identity)))
    if os.path.exists(identity.config):
        os.unlink(identity.config)
    if kept == lines:
        return False
    _write(path, kept)
    return True


def _lines_of(identity: Identity) -> list[str]:
    return [_NOTE, f'Include "{identity.config}"']


def _without(lines: list[str], ours: list[str]) -> Iterator[str]:
    for at, line in enumerate(lines):
        if line == ours[1] or (line == ours[0] and lines[at + 1 : at + 2] == ours[1:]):
            continue
        yield line


def _read(path: str) -> list[str]:
    """The lines of the user's file; none if there is no file."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read().split("\n")
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise Error("bad_request", f"cannot read {path}: {exc.strerror}") from exc


def _write(path: str, lines: list[str]) -> None:
    """Through a link of the user's, and with the mode that the file has."""
    whole = os.path.realpath(path)
    try:
        os.makedirs(os.path.dirname(whole), mode=0o700, exist_ok=True)
        mode = os.stat(whole).st_mode & 0o777 if os.path.exists(whole) else 0o600
    except OSError as exc:
        raise Error("bad_request", f"cannot write {path}: {exc.strerror}") from exc
    text = "\n".join(lines)
    if lines and lines[-1]:
        text += "\n"
    write_whole(whole, text.encode("utf-8", "surrogateescape"), mode)
