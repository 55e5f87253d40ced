"""Finding and starting the daemon, with a small program in its place."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import places
from banger.client import start
from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.host.paths import Paths
from tests.support.pace import allowed_s

# Listens, says so, and ends when the file "stop" is there.
DAEMON = """
import os, socket, sys, time
path = os.environ["BANGER_HOME"] + "/run/banger.sock"
with open(os.environ["BANGER_HOME"] + "/starts", "a") as file:
    file.write(f"{os.getpid()} {os.getsid(0) == os.getpid()} {os.getcwd()}\\n")
if os.path.exists(os.environ["BANGER_HOME"] + "/fail"):
    sys.exit("the store is damaged")
time.sleep(0.1)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
os.write(int(os.environ["BANGER_READY_FD"]), b"ready\\n")
os.close(int(os.environ["BANGER_READY_FD"]))
print("serving", flush=True)
while not os.path.exists(os.environ["BANGER_HOME"] + "/stop"):
    time.sleep(0.02)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A BANGER_HOME whose daemon is the program above."""
    home = Path("/tmp") / f"banger-test-{os.getpid()}-{time.monotonic_ns()}"
    (home / "code").mkdir(parents=True)
    (home / "code/test_daemon_program.py").write_text(DAEMON)
    monkeypatch.setenv("BANGER_HOME", str(home))
    monkeypatch.delenv("BANGER_SOCKET", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(home / "code"))
    monkeypatch.setattr(start, "DAEMON_MODULE", "test_daemon_program")
    yield home
    (home / "stop").touch()
    for line in starts(home):
        wait_for_end(int(line.split()[0]))
    subprocess.run(["rm", "-rf", str(home)], check=True)


def starts(home: Path) -> list[str]:
    return (home / "starts").read_text().splitlines() if (home / "starts").exists() else []


def wait_for_end(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def test_a_daemon_is_started_once_and_found_again(home: Path) -> None:
    path = places.socket_path()
    assert start.ensure_daemon(path) is True
    assert start.ensure_daemon(path) is False
    start.dial_or_start(path).close()
    assert len(starts(home)) == 1


def test_ten_at_once_start_one(home: Path) -> None:
    sockets: list[socket.socket] = []
    threads = [
        threading.Thread(target=lambda: sockets.append(start.dial_or_start(places.socket_path())))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for connection in sockets:
        connection.close()
    assert len(sockets) == 10 and len(starts(home)) == 1


def test_the_daemon_is_on_its_own(home: Path) -> None:
    start.ensure_daemon(places.socket_path())
    pid, leads, _ = starts(home)[0].split(" ", 2)
    assert leads == "True"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1").endswith("state/daemon.log")


def test_the_daemon_has_of_the_environment_what_it_reads(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "canary")
    monkeypatch.setenv("NOTIFY_SOCKET", "/somebody/elses")
    start.ensure_daemon(places.socket_path())
    held = Path(f"/proc/{starts(home)[0].split()[0]}/environ").read_bytes()
    assert b"BANGER_HOME=" in held and b"canary" not in held and b"NOTIFY_SOCKET" not in held


def test_modules_of_the_working_directory_are_nobodys(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the place where Python starts, nor by an empty entry of its search path."""
    for name in ("socket", "time", "asyncio"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger')\n")
    monkeypatch.setenv("PYTHONPATH", f"{home}/code:")
    monkeypatch.chdir(tmp_path)
    assert start.ensure_daemon(places.socket_path()) is True


def test_an_open_file_above_a_low_limit_is_no_obstacle(home: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    high = fcntl.fcntl(0, fcntl.F_DUPFD, 200)
    os.set_inheritable(high, True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        assert start.ensure_daemon(places.socket_path()) is True
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(high)


@pytest.mark.parametrize("name", ["state", "state/daemon.log", "state/start.lock"])
def test_a_place_that_is_something_else_is_named(home: Path, name: str) -> None:
    """Neither Python nor the daemon is blamed for it."""
    place = home / name
    place.parent.mkdir(exist_ok=True)
    place.touch() if name == "state" else place.mkdir()
    with pytest.raises(Error) as caught:
        start.ensure_daemon(places.socket_path())
    assert str(place) in caught.value.message and "BANGER_HOME" in caught.value.hint


def test_readiness_is_not_polled_for(home: Path) -> None:
    path = places.socket_path()
    start.ensure_daemon(path)
    begun = time.monotonic()
    start.ensure_daemon(path)
    assert time.monotonic() - begun < allowed_s(0.1)


def test_a_daemon_that_dies_says_why(home: Path) -> None:
    (home / "fail").touch()
    with pytest.raises(Error, match="the store is damaged") as caught:
        start.ensure_daemon(places.socket_path())
    assert caught.value.code == "daemon_start_failed"
    assert "daemon.log" in caught.value.hint


def test_an_old_log_is_not_blamed(home: Path) -> None:
    (home / "state").mkdir()
    (home / "state/daemon.log").write_text("an old disaster\n")
    (home / "fail").touch()
    with pytest.raises(Error) as caught:
        start.ensure_daemon(places.socket_path())
    assert caught.value.details["log"] == ["the store is damaged"]


def test_a_socket_of_the_users_choice_is_never_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANGER_SOCKET", str(home / "mine.sock"))
    with pytest.raises(Error) as caught:
        start.dial_or_start(places.socket_path())
    assert caught.value.code == "daemon_unreachable" and starts(home) == []


def test_a_socket_left_behind_by_a_dead_daemon_is_no_daemon(home: Path) -> None:
    ensure_private_directory(places.run_directory())
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(places.socket_path())
    assert start.listens(places.socket_path()) is False


def test_the_run_directory_is_ours_alone(home: Path) -> None:
    start.ensure_daemon(places.socket_path())
    assert stat.S_IMODE(os.stat(places.run_directory()).st_mode) == 0o700


@pytest.mark.parametrize(
    "environment",
    [
        {"BANGER_HOME": "/x/y"},
        {"XDG_STATE_HOME": "/x/state"},
        {"XDG_STATE_HOME": "relative"},
        {"HOME": "/home/someone"},
    ],
)
def test_the_log_is_where_the_daemon_looks_for_it(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BANGER_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert start.daemon_log() == str(Paths.user().daemon_log)
