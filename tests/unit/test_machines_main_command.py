"""The main command as Docker composes it."""

from __future__ import annotations

import signal

import pytest

from banger.machines.life.main_command import parse_signal, plan_command
from banger.model.command import Command
from banger.model.image import ImageConfig

PLAIN = ImageConfig()
FULL = ImageConfig(
    entrypoint=["/entry"],
    cmd=["a", "b"],
    env=["A=1", "B=x=y"],
    cwd="/srv",
    user="worker",
    stop_signal="SIGINT",
)


@pytest.mark.parametrize(
    ("asked", "config", "argv"),
    [
        (None, PLAIN, None),
        (Command(), PLAIN, None),
        (Command(tty=True), PLAIN, []),
        (Command(stdin=True), PLAIN, []),
        (Command(argv=["x"]), PLAIN, ["x"]),
        (None, FULL, ["/entry", "a", "b"]),
        (Command(argv=["x"]), FULL, ["/entry", "x"]),
        (Command(entrypoint=["/own"]), FULL, ["/own"]),
        (Command(entrypoint=["/own"], argv=["x"]), FULL, ["/own", "x"]),
        (Command(entrypoint=[], argv=["x"]), FULL, ["x"]),
        (Command(entrypoint=[]), FULL, None),
    ],
)
def test_entrypoint_and_arguments(asked: Command | None, config: ImageConfig, argv: list[str] | None) -> None:
    planned = plan_command(asked, config)
    assert (planned.argv if planned else None) == argv


def test_what_is_asked_for_goes_before_what_the_image_says() -> None:
    planned = plan_command(Command(env={"B": "2"}, cwd="/tmp"), FULL)
    assert planned is not None
    assert planned.env == {"A": "1", "B": "2"}
    assert (planned.cwd, planned.user) == ("/tmp", "worker")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("", signal.SIGTERM),
        ("SIGINT", signal.SIGINT),
        ("quit", signal.SIGQUIT),
        ("9", 9),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMIN+99", signal.SIGTERM),
        ("999", signal.SIGTERM),
        ("nonsense", signal.SIGTERM),
    ],
)
def test_stop_signals_as_images_write_them(name: str, number: int) -> None:
    assert parse_signal(name) == number
