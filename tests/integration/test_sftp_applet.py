"""The agent's server of SFTP, as a program of this host under sanitizers, with OpenSSH's client and with packets that
no client sends."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

GUEST = Path(__file__).parents[2] / "guest"
INIT = struct.pack(">IBI", 5, 1, 3)
OK, END, NO_SUCH_FILE, DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def packet(kind: int, number: int, rest: bytes = b"") -> bytes:
    return text(struct.pack(">BI", kind, number) + rest)


def talk(applets: Path, home: Path, sent: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Exit code, and kind and rest of each answer after the version."""
    done = subprocess.run(
        [applets, "sftp"], input=INIT + sent, env={"HOME": str(home)}, capture_output=True, timeout=60
    )
    assert done.stderr == b"", done.stderr.decode()
    answers, rest = [], done.stdout
    while rest:
        (length,) = struct.unpack_from(">I", rest)
        answers.append((rest[4], rest[9 : 4 + length]))
        rest = rest[4 + length :]
    return done.returncode, answers[1:]


def statuses(answers: list[tuple[int, bytes]]) -> list[int]:
    return [int.from_bytes(rest[:4], "big") if kind == STATUS else -kind for kind, rest in answers]


def test_openssh_s_client_does_all_that_it_can(applets: Path, tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    data = os.urandom(3_000_001)
    (here / "a").write_bytes(data)
    (here / "tree/deep").mkdir(parents=True)
    (here / "tree/deep/f").write_text("hi")
    batch = """
        put a b
        rename b c
        get c back
        mkdir sub
        symlink ../c sub/link
        ln c hard
        chmod 640 c
        put -r tree
        ls -la sub
        df .
        -get nothing
        -mkdir sub
        rm hard
        put -p a sub/x
        rename sub/x c
    """
    done = subprocess.run(
        ["sftp", "-q", "-b", "-", "-D", f"{applets} sftp"],
        input=batch.encode(),
        cwd=here,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert (here / "back").read_bytes() == data == (home / "c").read_bytes()
    assert os.readlink(home / "sub/link") == "../c"
    assert (home / "tree/deep/f").read_text() == "hi"
    assert not (home / "hard").exists() and not (home / "sub/x").exists()
    assert b"lrwxrwxrwx" in done.stdout and b"nothing" in done.stderr


def test_a_thousand_names_are_listed_in_several_answers(applets: Path, tmp_path: Path) -> None:
    names = {b"n%d" % number + b"\xff" * (number % 200) for number in range(1000)}
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    done = subprocess.run(
        ["sftp", "-q", "-b", "-", "-D", f"{applets} sftp"],
        input=b"get -r . got",
        cwd=tmp_path.parent,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    got = {os.fsencode(path.name) for path in (tmp_path.parent / "got").iterdir()}
    assert got == names


def test_what_a_client_may_not_do_has_its_own_status(applets: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").write_text("y")
    code, answers = talk(
        applets,
        tmp_path,
        packet(17, 1, text(b"none"))
        + packet(18, 2, text(b"file") + text(b"other"))
        + packet(99, 3)
        + packet(200, 4, text(b"made-up@example.org"))
        + packet(3, 5, text(b"file\0") + bytes(8))
        + packet(17, 6, text(b"x" * 5000))
        + packet(5, 7, text(b"\0\0\0\0\0\0\0\1") + bytes(12))
        + packet(11, 8, text(b"file"))
        + packet(16, 9, text(b"new"))
        + packet(16, 10, text(b"no/new")),
    )
    assert code == 0
    assert statuses(answers) == [
        NO_SUCH_FILE, FAILURE, UNSUPPORTED, UNSUPPORTED, BAD_MESSAGE, BAD_MESSAGE, FAILURE, NO_SUCH_FILE, -NAME,
        NO_SUCH_FILE,
    ]  # fmt: skip
    assert (tmp_path / "other").read_text() == "y"


def test_a_handle_is_one_s_own_until_it_is_closed(applets: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    opened = packet(3, 1, text(b"file") + struct.pack(">II", 1, 0))
    first, second = (text(struct.pack(">II", 0, generation)) for generation in (1, 2))
    code, answers = talk(
        applets,
        tmp_path,
        opened
        + packet(5, 2, first + struct.pack(">QI", 1, 3))
        + packet(5, 3, first + struct.pack(">QI", 5, 9))
        + packet(5, 4, first + struct.pack(">QI", 1 << 63, 9))
        + packet(12, 5, first)
        + packet(4, 6, first)
        + opened
        + packet(5, 7, first + struct.pack(">QI", 0, 9))
        + packet(5, 8, second + struct.pack(">QI", 0, 0xFFFFFFFF))
        + packet(4, 9, text(b"")),
    )
    assert code == 0
    assert statuses(answers) == [-HANDLE, -DATA, END, FAILURE, FAILURE, OK, -HANDLE, FAILURE, -DATA, FAILURE]
    assert answers[1][1] == text(b"ell") and answers[8][1] == text(b"hello")


def test_handles_are_bounded(applets: Path, tmp_path: Path) -> None:
    code, answers = talk(applets, tmp_path, packet(11, 1, text(b".")) * 300)
    assert code == 0 and statuses(answers) == [-HANDLE] * 256 + [FAILURE] * 44


@pytest.mark.parametrize(
    "sent", [bytes(4), b"\xff\xff\xff\xff", struct.pack(">I", 300_000) + bytes(300_000), packet(5, 1)[:-3]]
)
def test_a_stream_that_is_no_sftp_ends_it(applets: Path, tmp_path: Path, sent: bytes) -> None:
    assert talk(applets, tmp_path, sent) == (1, [])


def test_every_request_cut_at_every_place_is_answered(applets: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    whole = text(b"d") + text(b"e") + bytes(40)
    sent = b"".join(
        packet(kind, cut, whole[:cut]) for kind in (*range(3, 21), 200) for cut in range(0, len(whole), 3)
    )
    code, answers = talk(applets, tmp_path, sent)
    assert code == 0 and len(answers) == 19 * len(range(0, len(whole), 3))
