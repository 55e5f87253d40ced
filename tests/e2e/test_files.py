"""`banger cp`: files and trees into and out of a guest."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.support.home import Home

pytestmark = pytest.mark.e2e


def test_a_file_goes_there_and_back(home: Home, dev: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(3_000_000))
    (tmp_path / "in").chmod(0o640)
    home.text("cp", str(tmp_path / "in"), f"{dev}:/root/copied")
    assert home.text("exec", dev, "--", "stat", "-c", "%a %s", "/root/copied") == "640 3000000\n"
    home.text("cp", f"{dev}:/root/copied", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_a_tree_keeps_its_shape(home: Home, dev: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / ("long" * 40)).mkdir(parents=True)
    (tree / "deep" / ("long" * 40) / "file").write_text("deep")
    (tree / "link").symlink_to("deep")
    (tree / "empty").mkdir()
    (tree / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "run.sh").chmod(0o755)
    home.text("cp", str(tree), f"{dev}:/root/")
    assert home.text("exec", dev, "--", "/root/tree/run.sh") == "ran\n"
    home.text("cp", f"{dev}:/root/tree", str(tmp_path / "back"))
    names = sorted(str(p.relative_to(tree)) for p in tree.rglob("*"))
    assert sorted(str(p.relative_to(tmp_path / "back")) for p in (tmp_path / "back").rglob("*")) == names
    assert os.readlink(tmp_path / "back/link") == "deep"


def test_what_is_not_there_is_said(home: Home, dev: str, tmp_path: Path) -> None:
    done = home.run("cp", f"{dev}:/no/such/file", str(tmp_path / "x"))
    assert done.returncode == 1
    assert b"/no/such/file" in done.stderr
    assert not (tmp_path / "x").exists()
    done = home.run("cp", str(tmp_path / "neither"), f"{dev}:/root/")
    assert done.returncode == 1


def test_a_hostile_guest_cannot_write_outside_the_destination(home: Home, dev: str, tmp_path: Path) -> None:
    script = "mkdir -p /root/evil && ln -sfn /tmp /root/evil/a && cd /root && ls evil"
    home.text("exec", dev, "--", "sh", "-c", script)
    (tmp_path / "dst").mkdir()
    home.run("cp", f"{dev}:/root/evil", str(tmp_path / "dst"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dst"]


def test_the_api_answers_a_missing_path_with_a_status(home: Home, dev: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home.run_directory / "banger.sock"))
        request = f"GET /v1/machines/{dev}/files?path=/nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"file_not_found"' in answer
