"""Where things are: XDG directories, BANGER_HOME, and sockets whose paths fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger import places
from banger.errors import Error
from banger.host.paths import Paths

LONGEST_SOCKET_PATH = 107


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [n for n in os.environ if n.startswith(("BANGER_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_user_mode_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere/state")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    paths = Paths.user()
    assert paths.state == Path("/elsewhere/state/banger")
    assert paths.cache == tmp_path / ".cache/banger"
    assert paths.config == tmp_path / ".config/banger"


def test_banger_home_holds_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANGER_HOME", "/x/home")
    paths = Paths.user()
    for path in (paths.database, paths.machines, paths.images, paths.kernels, paths.config, paths.socket):
        assert path.is_relative_to("/x/home")


@pytest.mark.parametrize("length", [10, 50, 55, 56, 57, 60, 90, 300])
def test_the_socket_fits_however_long_the_home(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setenv("BANGER_HOME", "/" + "h" * length)
    assert len(str(Paths.user().socket)) <= LONGEST_SOCKET_PATH


def test_a_runtime_directory_that_depends_on_where_we_are_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    assert places.run_directory().startswith("/")


def test_who_has_no_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "not/absolute")
    with pytest.raises(Error) as caught:
        Paths.user()
    assert caught.value.code == "daemon_start_failed" and "BANGER_HOME" in caught.value.hint


@pytest.mark.parametrize("variable", ["BANGER_HOME", "XDG_CACHE_HOME"])
def test_a_home_whose_name_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """It would have to be in answers, records and command lines."""
    monkeypatch.setenv(variable, os.fsdecode(b"/tmp/caf\xe9"))
    with pytest.raises(Error) as caught:
        Paths.user()
    assert caught.value.code == "daemon_start_failed" and "\\xe9" in caught.value.message


def test_long_homes_do_not_share_a_run_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for name in ("a", "b"):
        monkeypatch.setenv("BANGER_HOME", "/" + name * 200)
        found.add(places.run_directory())
    assert len(found) == 2


def test_client_and_daemon_agree_on_the_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for home in (None, "/short", "/" + "x" * 200):
        if home:
            monkeypatch.setenv("BANGER_HOME", home)
        assert places.socket_path() == str(Paths.user().socket)
    monkeypatch.setenv("BANGER_SOCKET", "/my/own.sock")
    assert places.socket_path() == "/my/own.sock"


def test_the_system_wide_places_are_the_usual_ones() -> None:
    paths = Paths.system()
    assert [str(p) for p in (paths.database, paths.images, paths.socket, paths.config)] == [
        "/var/lib/banger/banger.db",
        "/var/cache/banger/images",
        "/run/banger/banger.sock",
        "/etc/banger",
    ]
