"""The capabilities of the systemd unit are enough: a daemon that has no others does all that needs rights."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, REPOSITORY, Home, open_home

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="capability missing: root, as the service runs"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="capability missing: setpriv"),
]


def capabilities() -> list[str]:
    lines = (REPOSITORY / "packaging/bangerd.service").read_text().splitlines()
    words = " ".join(line.partition("=")[2] for line in lines if line.startswith("CapabilityBoundingSet="))
    return [word.removeprefix("CAP_").lower() for word in words.split()]


@pytest.fixture
def own_home() -> Iterator[Home]:
    """With images of its own: a daemon that starts sweeps what it finds half made in a directory of images."""
    with open_home(own_images=True) as home:
        yield home


def as_service(home: Home, *words: str) -> str:
    kept = ",".join(f"+{name}" for name in capabilities())
    done = subprocess.run(
        ["setpriv", "--no-new-privs", f"--bounding-set=-all,{kept}", "--inh-caps=-all", *home.argv(*words)],
        env=home.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=240,
    )
    assert done.returncode == 0, f"{done.stderr.decode()}\n{home.daemon_log()}"
    return done.stdout.decode()


def test_a_daemon_with_the_capabilities_of_the_service_does_everything(
    own_home: Home, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("x")
    os.chown(tree / "file", 12345, 12345)
    (tree / "file").chmod(0o600)
    as_service(own_home, "image", "pull", f"rootfs:small={tree}")
    as_service(own_home, "run", "-d", "-p", "0:80", "--name", "box", IMAGE)
    daemon = own_home.daemon_pid()
    bounding = next(
        line for line in Path(f"/proc/{daemon}/status").read_text().splitlines() if "CapBnd" in line
    )
    assert int(bounding.split()[1], 16).bit_count() <= len(capabilities())
    shown = own_home.json("vm", "show", "box")
    assert shown["confinement"]["missing"] == {} and shown["network"]["policy"] == "internet"
    assert as_service(own_home, "exec", "box", "--", "id", "-u") == "0\n"
    as_service(own_home, "vm", "snapshot", "box", "kept")
    as_service(own_home, "vm", "fork", "box")
    as_service(own_home, "vm", "commit", "box", "made")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    as_service(own_home, "vm", "port", "add", "box", f"{free}:81")
    as_service(own_home, "vm", "delete", "-f", "box")


def test_systemd_reads_it_without_a_complaint() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("capability missing: systemd-analyze")
    said = subprocess.run(
        ["systemd-analyze", "verify", str(REPOSITORY / "packaging/bangerd.service")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    complaints = [line for line in said.stderr.splitlines() if "is not executable" not in line]
    assert [line for line in complaints if "bangerd" in line] == []
