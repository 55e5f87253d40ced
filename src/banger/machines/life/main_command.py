"""A machine's main command: made from the request and the image's configuration, as `docker run` does it."""

from __future__ import annotations

import signal

from banger.model.command import Command
from banger.model.image import ImageConfig


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


def plan_command(asked: Command | None, config: ImageConfig) -> Command | None:
    """The main command from the request and the image, as `docker run` does it.

    None: there is no program to run and no client for a shell; the machine just runs.
    """
    command = asked or Command()
    entrypoint, arguments = config.entrypoint, command.argv or config.cmd
    if command.entrypoint is not None:  # another entrypoint does not get the image's arguments
        entrypoint, arguments = command.entrypoint, command.argv
    if not (entrypoint or arguments or command.tty or command.stdin):
        return None
    env = dict(pair.partition("=")[::2] for pair in config.env)
    return Command(
        argv=[*entrypoint, *arguments],
        env={**env, **command.env},
        cwd=command.cwd or config.cwd,
        user=command.user or config.user,
        tty=command.tty,
        stdin=command.stdin,
        rows=command.rows,
        cols=command.cols,
        timeout_s=command.timeout_s,
    )
