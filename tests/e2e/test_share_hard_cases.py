"""Directories of the host where things go wrong: servers and daemons that are killed amid writes, disks that are full,
sources that move away, guests that try to get past what they may do, and many files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.differing_calls import DIFFERENT
from tests.support.file_programs import differences, file_program
from tests.support.home import Home, alive, wait_until
from tests.support.shared_directory import SEEN_S, Sharer
from tests.support.small_disk import mounted_small

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# `make test-long` has a million.
FILES = int(os.environ.get("BANGER_SHARED_FILES", "20000"))
A_DIRECTORY = 1000


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hard")


@pytest.fixture(scope="module")
def own_home() -> Iterator[Home]:
    from tests.support.home import open_home

    with open_home() as home:
        yield home


@pytest.fixture(scope="module")
def sharer(own_home: Home, top: Path) -> Iterator[Sharer]:
    yield Sharer(own_home, "sharer", top)


def _file_system_of(path: Path) -> str:
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_system_calls_answer_as_on_the_guests_own_disk(
    sharer: Sharer, own_home: Home, top: Path, user: str
) -> None:
    if (kind := _file_system_of(top)) != "ext2/ext3":
        pytest.skip(f"capability missing: a directory on ext4, as the guest's own; this one is on {kind}")
    calls = file_program("calls")
    if user == "root":
        machine, shared = sharer, "/src/calls"
    else:
        (top / "for-nobody").mkdir()
        machine = Sharer(own_home, "nobodys", top / "for-nobody", "-u", user)
        shared = "/src/calls"
    path = machine.put(calls)
    machine.sh(f"chmod 755 /root {path}; mkdir -p /own {shared}; chown {user} /own")
    there, here = (
        own_home.text("vm", "exec", "-u", user, machine.name, "--", path, directory, timeout_s=300)
        for directory in (shared, "/own")
    )
    assert "cannot prepare" not in here + there
    found = differences(here, there)
    if user == "root":
        assert found == DIFFERENT, f"new: {found - DIFFERENT}; no more: {DIFFERENT - found}"
    else:
        new = {
            case
            for case in found - DIFFERENT
            if case[1:] not in (("EPERM", "EOPNOTSUPP"), ("EPERM", "EINVAL"))
        }
        assert not new
        machine.delete()


def test_random_reads_and_writes_are_those_of_memory(sharer: Sharer) -> None:
    path = sharer.put(file_program("fsx"))
    for seed in (11, 12):
        assert sharer.sh(f"{path} /src/fsx {seed} 400", timeout_s=300).startswith("400 steps")


# Numbered records, each told to be there only when it was written and synced; whatever fails is opened anew and tried
# again, as a data base would.
JOURNAL = r"""
use IO::Handle; use Fcntl;
my ($f, $failures) = (undef, 0);
for (my $i = 0; !-e "/dev/shm/enough"; $i++) {
    while (1) {
        last if ($f ||= do { my $g; sysopen($g, "/src/journal", O_RDWR | O_CREAT) ? $g : undef })
            && defined(sysseek($f, 8 * $i, 0)) && (syswrite($f, sprintf("%7d\n", $i)) // 0) == 8 && $f->sync;
        close($f) if $f; $f = undef; $failures++; select(undef, undef, undef, 0.05);
    }
    open(my $a, ">", "/dev/shm/acked.new"); print $a $i; close($a); rename("/dev/shm/acked.new", "/dev/shm/acked");
}
open(my $r, ">", "/dev/shm/ended"); print $r $failures; close($r);
"""


def test_no_synced_write_is_lost_when_servers_and_daemons_are_killed(
    sharer: Sharer, own_home: Home, top: Path
) -> None:
    sharer.sh(f"cat >/root/journal <<'END'\n{JOURNAL}\nEND")
    own_home.text("vm", "exec", "-d", sharer.name, "--", "perl", "/root/journal")

    def acked() -> int:
        return int(sharer.sh("cat /dev/shm/acked 2>/dev/null || echo -1"))

    wait_until(lambda: acked() > 0, SEEN_S, "it writes")
    killed: set[int] = set()
    for turn in range(4):
        wait_until(lambda: bool({*sharer.servers()} - killed), 60, "there is a server")
        before = acked()
        servers = {*sharer.servers()} - killed
        if turn == 2:
            os.kill(own_home.daemon_pid(), signal.SIGKILL)
        for pid in servers:
            os.kill(pid, signal.SIGKILL)
        killed.update(servers)
        # Synced at that moment, so it is there at once, and not only when all is over.
        assert (top / "journal").read_bytes().startswith(b"".join(b"%7d\n" % i for i in range(before + 1)))
        then = acked()
        wait_until(lambda: acked() > then + 5, 60, "it goes on")  # noqa: B023
    sharer.sh("touch /dev/shm/enough; until [ -e /dev/shm/ended ]; do sleep 0.1; done")
    assert len(killed) >= 4
    assert int(sharer.sh("cat /dev/shm/ended")) >= 1  # at least one of the kills was noticed
    written = (top / "journal").read_bytes()
    last = acked()
    assert written[: 8 * (last + 1)] == b"".join(b"%7d\n" % i for i in range(last + 1))


def test_a_full_disk_of_the_host_is_an_error_and_no_wait(own_home: Home, tmp_path: Path) -> None:
    small = tmp_path / "small"
    with mounted_small(small, "4M"):
        machine = Sharer(own_home, "filler", small)
        path = machine.put(file_program("spill"))
        said = machine.sh(f"{path} /src 8")
        assert (
            said.count("ENOSPC") == 4
            and "it is the same: 1" in said
            and said.endswith("write after all: ok\nfsync: ok\n")
        ), said
        assert len((small / "kept").read_bytes()) == 65536
        machine.delete()


def test_a_source_that_is_renamed_is_followed_until_its_server_ends(own_home: Home, tmp_path: Path) -> None:
    top = tmp_path / "first"
    top.mkdir()
    machine = Sharer(own_home, "mover", top)
    top.rename(tmp_path / "second")
    machine.sh("echo here >/src/file")
    assert (tmp_path / "second/file").read_text() == "here\n"
    [server] = machine.servers()
    os.kill(server, signal.SIGKILL)
    begun = time.monotonic()
    assert "Input/output error" in machine.fails("sleep 0.5; cat /src/file")
    assert time.monotonic() - begun < 80  # half a minute, and not for ever
    (tmp_path / "second").rename(top)
    wait_until(
        lambda: machine.home.run("vm", "exec", "mover", "--", "cat", "/src/file").returncode == 0,
        60,
        "it is there again",
    )
    machine.delete()


def test_a_file_system_that_the_host_unmounts_stays_for_the_machine(own_home: Home, tmp_path: Path) -> None:
    place = tmp_path / "place"
    with mounted_small(place, "4M"):
        machine = Sharer(own_home, "keeper-of-it", place)
        machine.sh("echo one >/src/file")
        with mounted_small(place / "late", "1M"):
            (place / "late/file").write_text("unseen")
            assert machine.sh("ls -A /src/late") == ""  # what is mounted later is not there
    assert not (place / "file").exists()
    assert machine.sh("echo two >>/src/file; cat /src/file") == "one\ntwo\n"
    machine.delete()


def test_a_root_of_the_guest_does_not_get_past_reading_only(own_home: Home, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    (fixed / "directory").mkdir(parents=True)
    (fixed / "file").write_text("fixed")
    (fixed / "file").chmod(0o644)
    os.utime(fixed / "file", ns=(1, 1))
    (tmp_path / "top").mkdir()
    machine = Sharer(own_home, "reader", tmp_path / "top", "-v", f"{fixed}:/fixed:ro")
    before = {path: (path.lstat().st_ctime_ns, path.lstat().st_mode) for path in (fixed, *fixed.rglob("*"))}
    said = machine.perl(r"""
        system("mount", "-o", "remount,rw", "/fixed") == 0 or print "not mounted anew\n";
        sub try { my ($what, $done) = @_; print "$what\n" if $done }
        chdir "/fixed"; my ($name, $key, $x) = ("file", "user.a", "x");
        try "open", open(F, ">>", "file"); try "open both", open(F, "+<", "file"); try "truncate", truncate("file", 0);
        try "create", open(F, ">", "new"); try "unlink", unlink("file"); try "mkdir", mkdir("new");
        try "rmdir", rmdir("directory"); try "rename", rename("file", "other"); try "link", link("file", "other");
        try "symlink", symlink("file", "other"); try "chmod", chmod(0600, "file"); try "utime", utime(5, 5, "file");
        try "setxattr", syscall(188, $name, $key, $x, 1, 0) == 0;
        print "end\n";
    """)
    assert said == "end\n"
    assert {
        path: (path.lstat().st_ctime_ns, path.lstat().st_mode) for path in (fixed, *fixed.rglob("*"))
    } == before
    assert (fixed / "file").read_text() == "fixed"
    machine.delete()


def test_a_program_that_lends_rights_on_the_host_lends_none_after_a_guest_wrote_to_it(
    sharer: Sharer, top: Path
) -> None:
    program = top / "lends"
    program.write_bytes(b"#!/bin/sh\n")
    program.chmod(0o6755)
    sharer.sh("echo 'echo mine' >>/src/lends")
    assert program.stat().st_mode & 0o7777 == 0o755


def _resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


@pytest.mark.timeout(600 + FILES // 50)
def test_many_files_are_found_and_forgotten(own_home: Home, tmp_path: Path) -> None:
    many = tmp_path / "many"
    for number in range(FILES):
        directory = many / str(number // A_DIRECTORY)
        if number % A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        os.close(os.open(directory / f"file-number-{number}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
    machine = Sharer(own_home, "counter", many)
    names = FILES + (FILES + A_DIRECTORY - 1) // A_DIRECTORY + 1
    used = []
    for _ in range(2):
        # Each file is looked at, so each has a node.
        assert machine.sh(
            "find /src -size -1 -o -print | wc -l; find /src | wc -l", timeout_s=20 + FILES / 50
        ).split()[1] == str(names)
        [server] = machine.servers()
        used.append(_resident_kib(server))
        machine.sh("sync; echo 2 >/proc/sys/vm/drop_caches", timeout_s=20 + FILES / 200)
    assert used[0] < 8192 + FILES * 400 // 1024, used
    assert used[1] < used[0] * 1.3, used  # what the guest forgot was given back
    assert alive(server)
    machine.sh("rm -r /src/1", timeout_s=300)
    assert not (many / "1").exists()
    machine.delete()
