"""`banger cp`: files and trees into and out of a guest, and from guest to guest."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from banger.model.sizes import MIB
from tests.support.home import IMAGE, Home

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


def test_what_comes_out_is_as_it_was_in_there(home: Home, dev: str, tmp_path: Path) -> None:
    script = """
        mkdir -p /root/kept/bin; mkdir -m 700 /root/kept/secret; mkdir -m 2775 /root/kept/shared; cd /root/kept
        ln -s /usr/bin/python3 bin/python3; ln -s ../../etc/hostname bin/up; touch -d 2020-01-01 shared
        echo g >g; chmod 664 g; truncate -s 300M holes; echo end >>holes; touch "$(printf 'n\\351')"
    """
    home.text("exec", dev, "--", "sh", "-c", script)
    home.text("cp", f"{dev}:/root/kept", str(tmp_path / "kept"))
    kept = tmp_path / "kept"
    assert os.readlink(kept / "bin/python3") == "/usr/bin/python3"
    assert os.readlink(kept / "bin/up") == "../../etc/hostname"
    modes = {name: oct((kept / name).stat().st_mode & 0o7777) for name in ("secret", "shared", "g")}
    assert modes == {"secret": "0o700", "shared": "0o2775", "g": "0o664"}
    assert (kept / "shared").stat().st_mtime == 1_577_836_800
    assert (kept / "holes").stat().st_size == 300 * MIB + 4
    assert (kept / "holes").stat().st_blocks * 512 < MIB
    assert os.fsencode(kept) + b"/n\xe9" in [entry.path for entry in os.scandir(os.fsencode(kept))]


def test_attributes_of_users_go_there_and_back(home: Home, dev: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    try:
        os.setxattr(tmp_path / "in", "user.origin", b"here\0\xff")
    except OSError:
        pytest.skip("capability missing: a file system with extended attributes of users")
    home.text("cp", str(tmp_path / "in"), f"{dev}:/root/attributed")
    home.text("cp", f"{dev}:/root/attributed", str(tmp_path / "out"))
    assert os.getxattr(tmp_path / "out", "user.origin") == b"here\0\xff"


def test_a_link_is_copied_or_followed(home: Home, dev: str, tmp_path: Path) -> None:
    home.text(
        "exec",
        dev,
        "--",
        "sh",
        "-c",
        "mkdir /root/to; echo x >/root/to/f; ln -sn to /root/way; ln -s to/f /root/f",
    )
    home.text("cp", f"{dev}:/root/f", str(tmp_path / "link"))
    assert os.readlink(tmp_path / "link") == "to/f"
    home.text("cp", "-L", f"{dev}:/root/f", str(tmp_path / "file"))
    assert not (tmp_path / "file").is_symlink() and (tmp_path / "file").read_text() == "x\n"
    home.text("cp", "-L", f"{dev}:/root/way", str(tmp_path / "tree"))
    assert (tmp_path / "tree/f").read_text() == "x\n"


def test_who_did_not_copy_all_says_so_and_ends_with_1(home: Home, dev: str, tmp_path: Path) -> None:
    home.text(
        "exec", dev, "--", "sh", "-c", "mkdir /root/odd; echo x >/root/odd/f; mknod /root/odd/null c 1 3"
    )
    done = home.run("cp", f"{dev}:/root/odd", str(tmp_path / "odd"))
    assert done.returncode == 1 and b"odd/null" in done.stderr
    assert (tmp_path / "odd/f").read_text() == "x\n"


def test_what_cannot_come_along_keeps_nothing_else_from_it(home: Home, dev: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for name in ("a", "z"):
        (tmp_path / "tree" / name).write_text(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "tree/socket"))
        done = home.run("cp", str(tmp_path / "tree"), f"{dev}:/root/partly")
    assert done.returncode == 1 and b"left out " in done.stderr and b"tree/socket" in done.stderr
    assert home.text("exec", dev, "--", "ls", "/root/partly") == "a\nz\n"


def test_holes_and_times_before_1970_go_there_and_back(home: Home, dev: str, tmp_path: Path) -> None:
    with open(tmp_path / "in", "wb") as file:
        for number in range(3):
            file.seek((3 * number + 1) * MIB + 5)
            file.write(os.urandom(3000))
        file.truncate(16 * MIB + 1)
    os.utime(tmp_path / "in", (-5, -5))
    home.text("cp", str(tmp_path / "in"), f"{dev}:/root/holes")
    said = home.text(
        "exec", dev, "--", "sh", "-c", "cd /root; sha256sum <holes; stat -c '%Y %b' holes"
    ).split()
    assert said[0] == hashlib.sha256((tmp_path / "in").read_bytes()).hexdigest()
    assert said[2] == "-5" and int(said[3]) * 512 < MIB
    home.text("cp", f"{dev}:/root/holes", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert (tmp_path / "out").stat().st_mtime == -5


def test_files_of_the_kernel_have_their_contents(home: Home, dev: str, tmp_path: Path) -> None:
    home.text("cp", f"{dev}:/proc/version", str(tmp_path / "version"))
    assert (tmp_path / "version").read_text() == home.text("exec", dev, "--", "cat", "/proc/version")


@pytest.mark.parametrize(
    "form",
    ["--format=gnu", "--format=oldgnu", "--format=posix --sparse-version=0.0", "--format=posix --sparse-version=0.1",
     "--format=posix --sparse-version=1.0"],
)  # fmt: skip
def test_a_sparse_file_arrives_as_it_is(home: Home, dev: str, tmp_path: Path, form: str) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        for number in range(40):
            file.seek(number * MIB)
            file.write(os.urandom(3000))
    words = ["tar", "--sparse", *form.split(), "-C", str(tmp_path), "-cf", "-", "sparse"]
    packed = subprocess.run(words, check=True, capture_output=True).stdout
    home.run("cp", "-", f"{dev}:/root", stdin=packed, check=True)
    said = home.text(
        "exec", dev, "--", "sh", "-c", "sha256sum </root/sparse; du -k /root/sparse; rm /root/sparse"
    ).split()
    assert said[0] == hashlib.sha256((tmp_path / "sparse").read_bytes()).hexdigest()
    assert int(said[2]) < 2000


@pytest.fixture(scope="module")
def other(home: Home) -> Iterator[str]:
    name = "other-" + os.environ.get("PYTEST_XDIST_WORKER", "main")
    home.text("run", "-d", "--name", name, IMAGE)
    yield name
    home.text("vm", "delete", "-f", name)


def test_a_tree_goes_from_machine_to_machine(home: Home, dev: str, other: str) -> None:
    script = """
        mkdir -p /root/from/deep /root/to; cd /root/from; head -c 3000001 /dev/urandom >large; ln large deep/again
        ln -s ../large deep/soft; truncate -s 200M holes; echo end >>holes; echo x >run
        chown -R 12:13 .; chmod 6755 run; mknod null c 1 3
    """
    home.text("exec", dev, "--", "sh", "-c", script)
    home.text("exec", other, "--", "mkdir", "-p", "/srv/there")
    done = home.run("cp", f"{dev}:/root/from", f"{other}:/srv/there/")
    assert done.returncode == 1 and b"left out from/null" in done.stderr
    listed = "cd {}; sha256sum large deep/again holes; readlink deep/soft; stat -c %h large"
    left, arrived = (
        home.text("exec", machine, "--", "sh", "-c", listed.format(place))
        for machine, place in ((dev, "/root/from"), (other, "/srv/there/from"))
    )
    assert arrived == left
    script = "cd /srv/there/from; stat -c '%u:%g %a' run; stat -c %b holes"
    owner_and_mode, blocks = home.text("exec", other, "--", "sh", "-c", script).splitlines()
    assert owner_and_mode == "0:0 755"
    assert int(blocks) * 512 < MIB
    home.run("cp", "-a", f"{dev}:/root/from/run", f"{other}:/srv/kept", check=True)
    assert home.text("exec", other, "--", "stat", "-c", "%u:%g %a", "/srv/kept") == "12:13 6755\n"


def test_a_tree_is_not_copied_into_itself(home: Home, dev: str) -> None:
    home.text("exec", dev, "--", "sh", "-c", "mkdir -p /root/self/in; echo x >/root/self/f")
    for target in ("/root/self/in/", "/root/self/new", "/root"):
        done = home.run("cp", f"{dev}:/root/self", f"{dev}:{target}")
        assert done.returncode != 0 and b"into itself" in done.stderr
    home.text("cp", f"{dev}:/root/self", f"{dev}:/root/self-2")
    assert home.text("exec", dev, "--", "cat", "/root/self-2/f") == "x\n"


def test_the_api_answers_a_missing_path_with_a_status(home: Home, dev: str) -> None:
    """By what the agent found, whatever words the path has in it."""
    home.run("exec", dev, "--", "ln", "-s", "No such file", "/root/No such file", check=True)
    found = {
        path: _status_of(home, dev, path) for path in ("/nope", "/etc/passwd/below", "/root/No such file/x")
    }
    assert found == {
        "/nope": (404, "file_not_found"),
        "/etc/passwd/below": (404, "file_not_found"),
        "/root/No such file/x": (502, "agent_error"),
    }


def _status_of(home: Home, machine: str, path: str) -> tuple[int, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home.run_directory / "banger.sock"))
        target = f"/v1/machines/{machine}/files?path={quote(path)}"
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["error"]["code"]


def test_a_client_that_leaves_within_a_copy_is_no_bug(home: Home, dev: str, tmp_path: Path) -> None:
    head = (
        f"PUT /v1/machines/{dev}/files?path=/root HTTP/1.1\r\nHost: banger\r\n"
        "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n"
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home.run_directory / "banger.sock"))
        connection.sendall(head.encode() + bytes(512) + b"\r\n200\r\n" + bytes(100))
        home.text("exec", dev, "--", "true")
    (tmp_path / "file").write_text("next")
    home.text("cp", str(tmp_path / "file"), f"{dev}:/root/next")
    assert " failed" not in home.daemon_log()
