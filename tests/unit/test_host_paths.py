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
def test_a_machines_sockets_fit_however_long_the_home(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setenv("BANGER_HOME", "/" + "h" * length)
    socket = Paths.user().vm_run / "0123456789ab" / "agent.sock"
    assert len(str(socket)) <= LONGEST_SOCKET_PATH


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


def test_a_private_directory_is_made_or_mended(tmp_path: Path) -> None:
    made = tmp_path / "run"
    places.ensure_private_directory(str(made))
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o755)
    places.ensure_private_directory(str(made))
    assert made.stat().st_mode & 0o777 == 0o700


def test_parents_that_are_made_are_private_too(tmp_path: Path) -> None:
    places.ensure_private_directory(str(tmp_path / "of-us" / "banger"))
    assert (tmp_path / "of-us").stat().st_mode & 0o777 == 0o700


def test_a_link_or_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(Error) as caught:
            places.ensure_private_directory(str(tmp_path / name))
        assert caught.value.code == "daemon_unreachable"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives a directory to another user")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(Error, match="not a directory of ours"):
        places.ensure_private_directory(str(tmp_path / "theirs"))
