"""Directories of the host as a guest has them, mounted on this host: the server that machines have and the agent's
process, at this host's kernel. All that does not depend on a machine is tried here, where it takes no time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from banger.guests.shares import program
from tests.support.differing_calls import DIFFERENT
from tests.support.file_programs import differences, file_program, mounted_here
from tests.support.small_disk import mounted_small

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NOBODY = 65534


def run(*argv: str | Path) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return done.stdout


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


def test_system_calls_answer_as_on_a_disk(tmp_path: Path, top: Path) -> None:
    calls, own = file_program("calls"), tmp_path / "own"
    own.mkdir()
    here = run(calls, own)
    if "user.a" in here and 'setxattr("file", "user.a", "value", 5, 0): ok' not in here:
        pytest.skip("capability missing: a file system with attributes for users, to compare with")
    with mounted_here(top, tmp_path / "at") as prefix:
        there = run(*prefix, calls, tmp_path / "at")
    assert "cannot prepare" not in here + there
    found = differences(here, there)
    assert found == DIFFERENT, f"new: {found - DIFFERENT}; no more: {DIFFERENT - found}"


@pytest.mark.parametrize("seed", range(4))
def test_random_reads_and_writes_are_those_of_memory(tmp_path: Path, top: Path, seed: int) -> None:
    with mounted_here(top, tmp_path / "at") as prefix:
        assert run(*prefix, file_program("fsx"), tmp_path / "at/file", str(seed), "1500").startswith(
            "1500 steps"
        )


def test_a_full_disk_is_an_error_and_takes_nothing_that_was_synced(tmp_path: Path) -> None:
    small = tmp_path / "small"
    with mounted_small(small, "4M"), mounted_here(small, tmp_path / "at") as prefix:
        assert run(*prefix, file_program("spill"), tmp_path / "at", "8").splitlines() == SPILLED


# What a file system with fewer free bytes answers.
SPILLED = [
    "write: ok",
    "fsync: ok",
    "write too much: ENOSPC",
    "and more: ENOSPC",
    "fallocate: ENOSPC",
    "read what was synced: ok",
    "it is the same: 1",
    "truncate: ok",
    "write once more: ok",
    "fsync: ok",
    "msync: ENOSPC",
    "write after all: ok",
    "fsync: ok",
]


def as_nobody(directory: Path) -> Path:
    """A server of files with the rights of another user than root."""
    script = directory / "server"
    copy = directory / "share"
    copy.write_bytes(program().read_bytes())
    copy.chmod(0o755)
    script.write_text(
        f'#!/bin/sh\nexec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {copy} "$@"\n'
    )
    script.chmod(0o755)
    return script


def test_a_user_who_is_not_root_shares_what_that_user_may_do(tmp_path: Path) -> None:
    with_others = Path(run("mktemp", "-d").strip())
    try:
        with_others.chmod(0o755)
        top = with_others / "top"
        top.mkdir()
        os.chown(top, NOBODY, NOBODY)
        (top / "closed").write_text("secret")
        (top / "closed").chmod(0o600)
        (top / "seen").write_text("seen")
        script = """
            cat seen && ! cat closed && echo mine >mine && stat -c %u:%g mine seen && ! echo x >>seen
            mkdir own && echo x >own/x && chmod 555 own && ! touch own/y && chmod 755 own && touch own/y && mv own other
            ! chown 0:0 seen && chmod 444 mine && rm mine && ! chmod 600 seen && rm -f seen && echo end
        """
        with mounted_here(top, tmp_path / "at", server=as_nobody(with_others)) as prefix:
            said = run(*prefix, "sh", "-c", f"cd {tmp_path}/at; {script}")
        assert said == "seen0:0\n65534:65534\nend\n"
        assert not (top / "mine").exists() and (top / "other/y").stat().st_uid == NOBODY
        assert (top / "closed").read_text() == "secret"
    finally:
        run("rm", "-rf", with_others)


def test_file_systems_below_the_source_are_seen_and_kept_apart(tmp_path: Path, top: Path) -> None:
    with mounted_small(top / "inner", "1M"), mounted_here(top, tmp_path / "at") as prefix:
        (top / "inner/file").write_text("inner")
        (top / "file").write_text("outer")
        script = "cat inner/file; ln file inner/link 2>&1; mv file inner/moved && cat inner/moved"
        said = run(*prefix, "sh", "-c", f"cd {tmp_path}/at; {script}")
        assert said.startswith("inner") and "ross-device" in said and said.endswith("outer")
        assert (top / "inner/moved").read_text() == "outer"


def test_what_an_overlay_lacks_is_an_error_and_nothing_else(tmp_path: Path) -> None:
    """Its directories of the lower layer cannot be renamed, for one."""
    for name in ("lower/directory", "upper", "work", "top"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lower/directory/file").write_text("lower")
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    argv = [
        "mount",
        "-t",
        "overlay",
        "overlay",
        "-o",
        f"lowerdir={lower},upperdir={upper},workdir={work}",
        str(tmp_path / "top"),
    ]
    if os.geteuid() != 0 or subprocess.run(argv, capture_output=True).returncode != 0:
        pytest.skip("capability missing: an overlay on this file system")
    try:
        with mounted_here(tmp_path / "top", tmp_path / "at") as prefix:
            at = tmp_path / "at"
            assert run(*prefix, file_program("fsx"), at / "file", "1", "400").startswith("400 steps")
            script = "mv directory moved && cat moved/file && echo upper >moved/file && cat moved/file"
            assert run(*prefix, "sh", "-c", f"cd {at}; {script}") == "lowerupper\n"
            assert (tmp_path / "lower/directory/file").read_text() == "lower"
    finally:
        run("umount", "-l", tmp_path / "top")


def test_a_directory_that_is_such_a_mount_itself_can_be_shared(tmp_path: Path, top: Path) -> None:
    """A file system of FUSE, whose inodes are known by no time of birth."""
    first, second = tmp_path / "first", tmp_path / "second"
    with mounted_here(top, first) as outer:
        second.mkdir()
        inner = [str(file_program("mounted")), str(program()), f"rw:{first}", str(second)]
        said = run(*outer, *inner, file_program("fsx"), second / "file", "5", "600")
        assert said.startswith("600 steps")
        calls = run(*outer, *inner, file_program("calls"), second)
    assert "cannot prepare" not in calls
    assert (
        'rename: rename("file", "same"): ok' in calls
        and "what is file: a file, 644, 2 names, 1 bytes" in calls
    )
