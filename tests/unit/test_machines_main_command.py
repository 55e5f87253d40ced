"""The main command as Docker composes it."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.machines.keep.registry import Registry
from banger.machines.life.main_command import parse_signal, plan_command, plan_exec, surroundings_of
from banger.machines.life.surroundings import complete_surroundings
from banger.model.command import Command
from banger.model.image import ImageConfig
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store

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


def machine(main: Command | None, config: ImageConfig | None) -> Machine:
    given = None if config is None else surroundings_of(config)
    spec = MachineSpec(image="debian", command=main)
    return Machine(
        id="0", name="web", state=MachineState.RUNNING, spec=spec, created="now", surroundings=given
    )


@pytest.mark.parametrize(
    ("asked", "main", "config", "env", "place"),
    [
        (Command(), None, None, {}, ("", "")),
        (Command(), None, FULL, {"A": "1", "B": "x=y"}, ("/srv", "worker")),
        (Command(), Command(env={"B": "2"}, user="1"), FULL, {"A": "1", "B": "2"}, ("/srv", "1")),
        (Command(env={"A": ""}, cwd="/", user="root"), Command(env={"B": "2"}, cwd="/m", user="1"), FULL,
         {"A": "", "B": "2"}, ("/", "root")),
    ],
)  # fmt: skip
def test_another_command_has_what_the_main_command_has_unless_it_asks_for_something_else(
    asked: Command,
    main: Command | None,
    config: ImageConfig | None,
    env: dict[str, str],
    place: tuple[str, str],
) -> None:
    asked.argv, asked.stdin = ["x"], True
    planned = plan_exec(asked, machine(main, config))
    assert planned.env == env and (planned.cwd, planned.user) == place
    assert planned.argv == ["x"] and planned.stdin


def test_a_machine_of_an_earlier_version_gets_what_its_image_says_if_that_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "banger.db")
    registry, old = Registry(store), machine(None, None)
    registry.add(old)
    there: dict[str, Any] = {}
    images: Any = SimpleNamespace(find=there.get)
    live: Any = SimpleNamespace(machine=old)
    complete_surroundings(registry, images)(live)
    assert old.surroundings is None
    there["debian"] = SimpleNamespace(config=FULL)
    complete_surroundings(registry, images)(live)
    there["debian"] = SimpleNamespace(config=PLAIN)  # another image has the name now
    complete_surroundings(registry, images)(live)
    assert old.surroundings == surroundings_of(FULL)
    assert Registry(store).find("web").surroundings == surroundings_of(FULL)
    store.close()


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
