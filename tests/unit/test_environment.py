"""An environment is passed on by lists of what may: whatever else it holds stays where it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from banger import environment

Pass = Callable[[Mapping[str, str]], dict[str, str]]
ALL = [
    environment.for_daemon,
    environment.for_doctor,
    environment.for_helpers,
    environment.for_credential_helpers,
    environment.for_vmms,
]
SECRETS = {
    name: "canary"
    for name in (
        *(
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "SSH_AUTH_SOCK",
            "BANGER_PASSWORD",
            "PGPASSWORD",
            "XDG_SECRET",
        ),
        *(
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "BANGER_RESOURCE",
            "BANGER_RUN",
            "LD_PRELOAD",
            "PYTHONSTARTUP",
            "PERL5LIB",
        ),
    )
}
MANY = {
    **SECRETS,
    **{
        "HOME": "/home/u",
        "PATH": "/usr/bin",
        "TMPDIR": "/t",
        "https_proxy": "http://p",
        "LANG": "de_DE.UTF-8",
    },
    **{
        "BANGER_HOME": "/b",
        "XDG_STATE_HOME": "/s",
        "DOCKER_CONFIG": "/d",
        "SSL_CERT_FILE": "/c",
        "TERM": "vt100",
    },
    **{"PYTHONPATH": "/code", "GNUPGHOME": "/g"},
}


@pytest.mark.parametrize("passed", ALL)
def test_nothing_is_passed_on_that_is_not_named(passed: Pass) -> None:
    assert passed(SECRETS) == {}


def test_each_gets_what_it_needs_and_no_more() -> None:
    assert set(environment.for_vmms(MANY)) == {"PATH"}
    assert set(environment.for_helpers(MANY)) == {"PATH", "HOME", "TMPDIR", "https_proxy"}
    keepers = set(environment.for_credential_helpers(MANY))
    assert {"HOME", "DOCKER_CONFIG", "XDG_STATE_HOME", "GNUPGHOME"} < keepers and "PYTHONPATH" not in keepers
    assert set(environment.for_daemon(MANY)) == MANY.keys() - SECRETS.keys() - {"TERM"}
    assert set(environment.for_doctor(MANY)) == MANY.keys() - SECRETS.keys()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/a:/b", ["/a", "/b"]),
        ("", []),
        (":", []),
        ("/a:", ["/a"]),
        (":/a", ["/a"]),
        (".:/a", ["/a"]),
        ("./:/a", ["/a"]),
        ("src:/a", ["HERE/src", "/a"]),
        ("../x", ["HERE/../x"]),
    ],
)
def test_the_working_directory_is_no_place_for_code(
    value: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = environment.for_daemon({"PYTHONPATH": value}).get("PYTHONPATH", "")
    assert found == ":".join(os.path.normpath(place.replace("HERE", str(tmp_path))) for place in expected)


@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH"])
@pytest.mark.parametrize("passed", ALL)
def test_programs_and_libraries_are_not_looked_for_where_we_are(passed: Pass, name: str) -> None:
    assert passed({name: ":/usr/bin:.:bin:/bin:"}) == {name: "/usr/bin:/bin"}
    assert passed({name: "."}) == {}


def test_places_are_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"BANGER_HOME": "home", "DOCKER_CONFIG": "docker", "SSL_CERT_FILE": "c.pem", "BANGER_SOCKET": "s"}
    assert environment.for_doctor(given) == {name: f"{tmp_path}/{place}" for name, place in given.items()}


def test_a_working_directory_that_is_gone_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    given = {"PYTHONPATH": "src:/a", "DOCKER_CONFIG": "docker", "HOME": "/home/u"}
    assert environment.for_daemon(given) == {"PYTHONPATH": "/a", "HOME": "/home/u"}
