"""Firecracker's own jailer: its command line, where Firecracker finds what it needs, and where it cannot be used."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from banger.errors import Error
from banger.guests.confinement import describe_jail, missing_layers
from banger.host.jail import LANDLOCK, LAYERS, SECCOMP, Layers, prepare_command
from banger.host.spawn import MARKER
from banger.vmm.base import VmConfig
from banger.vmm.drivers import find_drivers
from banger.vmm.firecracker import jailer, names
from banger.vmm.firecracker.driver import FirecrackerDriver
from banger.vmm.firecracker.versions import Version
from banger.vmm.frozen import Frozen
from banger.vmm.link import NoLink, Tap
from tests.support.vm_configs import vm_config

PROGRAM = "/opt/firecracker-v1.12.1"
USER = 0x7000_0001
THIS = Version(1, 12, 1)


def config_of(directory: Path, frozen: Frozen | None = None, tap: int | None = None) -> VmConfig:
    link = NoLink() if tap is None else Tap("02:00:00:00:00:01", tap)
    return vm_config(directory, user=USER, frozen=frozen, link=link)


def places_of(config: VmConfig) -> dict[str, str]:
    """For what the jailer's Firecracker finds: the kind and the path outside."""
    jail = jailer.prepare_jail(PROGRAM, config)
    layers = Layers(frozenset(LAYERS), {}, 7)
    options = prepare_command([PROGRAM], jail, layers, directory=Path("/"), report=5)
    root = f"{jailer.root_of(PROGRAM, config)}/"
    found = {}
    for place, at in pairwise(options):
        if at.startswith("--at="):
            assert at.startswith(f"--at={root}")
            found[at.removeprefix(f"--at={root}")] = place
    return found


def test_the_command_line_names_the_program_the_user_and_the_limits(tmp_path: Path) -> None:
    argv = jailer.plan_argv(
        "/opt/jailer", PROGRAM, config_of(tmp_path), {"no-file": 9, "fsize": 7}, ["--api-sock", "s"]
    )
    split = argv.index("--")
    assert argv[split:] == ["--", "--api-sock", "s"]
    options = dict(zip(argv[1:split:2], argv[2:split:2], strict=True))
    assert argv[0] == "/opt/jailer" and options["--exec-file"] == PROGRAM
    assert options["--uid"] == options["--gid"] == str(USER)
    assert [argv[at + 1] for at, word in enumerate(argv) if word == "--resource-limit"] == [
        "no-file=9",
        "fsize=7",
    ]
    assert not {"--cgroup", "--parent-cgroup", "--daemonize", "--new-pid-ns"} & {*argv}
    assert jailer.root_of(PROGRAM, config_of(tmp_path)).parts[-3:-1] == (Path(PROGRAM).name, options["--id"])


def test_the_id_is_the_mark_of_a_process_whose_environment_is_taken_away(tmp_path: Path) -> None:
    argv = jailer.plan_argv("/opt/jailer", PROGRAM, config_of(tmp_path), {}, [])
    word = argv[argv.index("--id") + 1]
    assert word.endswith(config_of(tmp_path).marker) and word.startswith(MARKER.lower().replace("_", "-"))
    assert len(word) <= 64 and set(word) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_no_vmm_shares_roots_user_with_its_jailer(tmp_path: Path) -> None:
    with pytest.raises(Error) as caught:
        jailer.plan_argv("/opt/jailer", PROGRAM, vm_config(tmp_path), {}, [])
    assert caught.value.code == "jail_failed" and caught.value.hint


def test_firecracker_finds_in_the_root_what_it_finds_in_the_directory_otherwise(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    found = places_of(config)
    assert found[names.DISK] == f"--write={names.disk(config.places.directory)}"
    assert found[names.MODULES_LINK] == f"--read={config.modules_disk}"
    assert found[names.SOCKETS_LINK] == f"--sockets={names.sockets(config.places)}"
    assert found[names.CONFIGURATION].startswith("--read=")
    assert found[str(config.vmlinux).lstrip("/")] == f"--read={config.vmlinux}"
    assert {names.WRITTEN_STATE, names.WRITTEN_MEMORY} <= {*found} and names.MEMORY not in found
    frozen = places_of(config_of(tmp_path, Frozen(tmp_path / "frozen")))
    assert frozen[names.MEMORY].startswith("--read=") and frozen[names.STATE].startswith("--read=")
    assert names.CONFIGURATION not in frozen


def test_all_that_the_jailer_makes_lies_in_memory_and_is_made_before_what_lies_in_it(tmp_path: Path) -> None:
    jail = jailer.prepare_jail(PROGRAM, config_of(tmp_path, tap=7))
    layers = Layers(frozenset(LAYERS), {}, 7)
    options = prepare_command([PROGRAM], jail, layers, directory=Path("/"), report=5)
    scratch = options.index(f"--scratch={jail.scratch}")
    assert all(scratch < at for at, option in enumerate(options) if option.startswith("--at="))
    assert jail.scratch is not None and jailer.root_of(PROGRAM, config_of(tmp_path)).is_relative_to(
        jail.scratch
    )
    assert "--tap=7" in options and "--namespace=net" in options
    assert not {"--landlock", "--seccomp"} & {*options} and not any(
        word.startswith("--user=") for word in options
    )


@pytest.mark.parametrize(
    ("program", "found", "missing", "root", "word"),
    [
        (PROGRAM, THIS, {}, True, ""),
        (PROGRAM, Version(1, 12, 9), {}, True, ""),
        (PROGRAM, THIS, {}, False, "root"),
        (PROGRAM, None, {}, True, "version"),
        (PROGRAM, Version(1, 11, 0), {}, True, "1.11.0"),
        (PROGRAM, THIS, {"mount": "not permitted"}, True, "not permitted"),
        ("/opt/fc", THIS, {}, True, "/opt/fc"),
    ],
)
def test_where_it_cannot_be_used_the_reason_is_known(
    program: str, found: Version | None, missing: dict[str, str], root: bool, word: str
) -> None:
    problem = jailer.problem_of(program, THIS, found, missing, root=root)
    assert bool(problem) == bool(word) and word in problem


def test_a_jail_is_that_of_a_driver_that_has_one_of_its_own() -> None:
    agent = Path("/agent")
    for jails, expected in (
        ({}, ""),
        ({"firecracker": "ours", "qemu": "ours"}, ""),
        ({"firecracker": "jailer"}, "jailer"),
    ):
        drivers = find_drivers(agent, jails=jails)
        assert drivers.named("firecracker").capabilities.own_jail == expected
        assert drivers.named("qemu").capabilities.own_jail == ""
    wrong: list[dict[str, str]] = [{"qemu": "jailer"}, {"firecracker": "docker"}, {"bhyve": "jailer"}]
    for jails in wrong:
        with pytest.raises(Error) as caught:
            find_drivers(agent, jails=jails)
        assert caught.value.code == "bad_config" and "vmm.jails" in caught.value.message


def test_a_jailer_that_is_not_there_is_a_problem_that_names_it(tmp_path: Path) -> None:
    program = tmp_path / "firecracker"
    program.write_text("#!/bin/sh\necho Firecracker v1.12.1\n")
    program.chmod(0o755)
    info = asyncio.run(FirecrackerDriver(str(program), "/opt/no-jailer").info())
    assert "/opt/no-jailer" in info.problem and info.jail == "jailer"
    drivers = find_drivers(
        tmp_path,
        programs={"firecracker": str(program), "jailer": "/opt/no-jailer"},
        jails={"firecracker": "jailer"},
    )
    with pytest.raises(Error) as caught:
        asyncio.run(drivers.choose("auto", "firecracker"))
    assert (
        caught.value.code == "vmm_not_found"
        and "/opt/no-jailer" in caught.value.message
        and caught.value.hint
    )


def test_a_machine_tells_the_jailer_and_the_layers_that_it_replaces(tmp_path: Path) -> None:
    told = describe_jail(FirecrackerDriver("firecracker", "jailer"), config_of(tmp_path))
    assert told.layers[-1] == "jailer" and not {LANDLOCK, SECCOMP} & {*told.layers}
    assert {LANDLOCK, SECCOMP} <= {*told.missing}
    plain = FirecrackerDriver("firecracker")
    assert "jailer" not in describe_jail(plain, config_of(tmp_path)).layers
    assert "jailer" not in str(missing_layers(plain, NoLink()))
