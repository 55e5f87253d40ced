"""Plans of jails: options of the program, from what a program needs and what the host has."""

from __future__ import annotations

from pathlib import Path

from banger.host.jail import LANDLOCK, LAYERS, Jail, Layers, prepare_command, read_probe

EVERYTHING = Layers(frozenset(LAYERS), {}, 7)
JAIL = Jail(read=(Path("/vm/frozen"), Path("/image")), write=(Path("/vm"),), devices=(Path("/dev/null"),))


def options(jail: Jail | None, layers: Layers = EVERYTHING, report: int | None = None) -> list[str]:
    command = prepare_command(["/bin/true"], jail, layers, directory=Path("/vm"), report=report)
    return command[1 : command.index("--")]


def test_a_place_comes_before_those_within_it() -> None:
    places = [option for option in options(JAIL) if option.startswith(("--read", "--write", "--device"))]
    assert places.index("--write=/vm") < places.index("--read=/vm/frozen")
    paths = [place.partition("=")[2] for place in places]
    assert paths == sorted(paths) and "/usr" in paths and "/dev/urandom" in paths


def test_a_place_of_the_jail_counts_for_more_than_one_of_the_system() -> None:
    assert "--write=/usr" in options(Jail(write=(Path("/usr"),)))


def test_a_directory_for_sockets_is_a_place_of_its_own_kind() -> None:
    jail = Jail(write=(Path("/vm"),), sockets=(Path("/vm/sockets"),))
    assert [option for option in options(jail) if "=/vm" in option and "directory" not in option] == [
        "--write=/vm",
        "--sockets=/vm/sockets",
    ]


def test_the_device_of_taps_is_a_place_only_where_no_root_directory_stands_in_for_it() -> None:
    assert "--tap=7" in options(Jail(tap=7)) and "--device=/dev/net/tun" not in options(Jail(tap=7))
    landlock = Layers(frozenset({LANDLOCK}), {}, 7)
    assert "--device=/dev/net/tun" in options(Jail(tap=7), landlock)
    assert "--device=/dev/net/tun" not in options(Jail(), landlock)


def test_without_a_report_there_is_no_other_process_to_report() -> None:
    assert "--namespace=pid" in options(JAIL, report=5)
    assert "--namespace=pid" not in options(JAIL)


def test_a_network_is_taken_unless_it_is_kept() -> None:
    without = {"--namespace=net", "--landlock-network", "--seccomp-network"}
    assert without <= set(options(JAIL))
    kept = set(options(Jail(network=True)))
    assert not without & kept and {"--landlock", "--seccomp"} <= kept


def test_what_the_host_does_not_have_is_not_asked_for() -> None:
    assert options(JAIL, Layers(frozenset(), {"mount": "no"})) == ["--directory=/vm"]
    assert options(None) == ["--directory=/vm"]


def test_what_the_probe_says_is_held_or_has_a_reason() -> None:
    said = "user ok\nmount open_tree: /usr: Operation not permitted\npid ok\nipc ok\nuts ok\n"
    said += "landlock ok 4\nseccomp ok\n"
    found = read_probe(said, root=False)
    assert found.held == {"user", "pid", "ipc", "uts", "landlock", "seccomp"} and found.landlock == 4
    assert found.missing == {
        "mount": "open_tree: /usr: Operation not permitted",
        "net": "the jail did not try it",
    }


def test_root_needs_no_user_namespace() -> None:
    assert "user" not in read_probe("user ok\n", root=True).held
    assert "user" not in read_probe("user namespaces: Operation not permitted\n", root=True).missing


def test_limits_and_capabilities_of_a_jail_are_told() -> None:
    told = options(Jail(capabilities=(1, 3), trees=(Path("/t"),), bounds={4: 0, 7: (1, 2)}))
    assert {"--capability=1", "--capability=3", "--tree=/t", "--limit=4=0:0", "--limit=7=1:2"} <= set(told)
