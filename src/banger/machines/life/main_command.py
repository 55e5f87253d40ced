"""What a machine's commands are made of: the request, the image's configuration, and for all but the main command also
what the main command has, as in Docker."""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping

from msgspec.structs import replace

from banger.model.command import Command, Surroundings
from banger.model.image import ImageConfig
from banger.model.machine import Machine, MachineSpec


def parse_signal(name: str) -> int:
    """A signal as images write it: "SIGTERM", "TERM", "15", "SIGRTMIN+3"; SIGTERM if the name is unknown."""
    text = name.strip().upper().removeprefix("SIG")
    base, plus, offset = text.partition("+")
    if base.isdigit() and 0 < int(base) <= signal.SIGRTMAX:
        return int(base)
    known = signal.Signals.__members__.get("SIG" + base)
    if known is None or (plus and not offset.isdigit()):
        return signal.SIGTERM
    number = known + (int(offset) if plus else 0)
    return number if number <= signal.SIGRTMAX else signal.SIGTERM


def plan_command(asked: Command | None, config: ImageConfig, secrets: Collection[str] = ()) -> Command | None:
    """The main command from the request and the image, as `docker run` does it, without the image's values of the
    variables that are `secrets`.

    None: there is no program to run and no client for a shell; the machine just runs.
    """
    command = asked or Command()
    entrypoint, arguments = config.entrypoint, command.argv or config.cmd
    if command.entrypoint is not None:  # another entrypoint does not get the image's arguments
        entrypoint, arguments = command.entrypoint, command.argv
    if not (entrypoint or arguments or command.tty or command.stdin):
        return None
    given = surroundings_of(config)
    return Command(
        argv=[*entrypoint, *arguments],
        env={**_without(given.env, secrets), **command.env},
        cwd=command.cwd or given.cwd,
        user=command.user or given.user,
        tty=command.tty,
        stdin=command.stdin,
        rows=command.rows,
        cols=command.cols,
        timeout_s=command.timeout_s,
    )


def secret_variables(spec: MachineSpec) -> list[str]:
    """The names of the variables that are secrets. The guest adds them to each command."""
    return [use.variable for use in spec.secrets if use.kind == "env"]


def _without(env: Mapping[str, str], secrets: Collection[str]) -> dict[str, str]:
    """The guest does not replace what a request says."""
    return {name: value for name, value in env.items() if name not in secrets}


def surroundings_of(config: ImageConfig) -> Surroundings:
    env = dict(pair.partition("=")[::2] for pair in config.env)
    return Surroundings(env=env, cwd=config.cwd, user=config.user)


def plan_exec(asked: Command, machine: Machine) -> Command:
    """Another command of the machine, as `docker exec` does it: with the variables, the directory and the user of the
    main command, unless `asked` says otherwise."""
    given, main = machine.surroundings or Surroundings(), machine.spec.command or Command()
    secrets = secret_variables(machine.spec)
    return replace(
        asked,
        env={**_without(given.env, secrets), **main.env, **asked.env},
        cwd=asked.cwd or main.cwd or given.cwd,
        user=asked.user or main.user or given.user,
    )
