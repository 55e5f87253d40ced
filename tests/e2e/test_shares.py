"""Directories of the host in a machine: what each side sees of the other's changes, what a guest cannot reach, and what
stays when a program of the host is killed."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home, alive, command_lines, wait_until

# How long the guest may believe what it was told, with room for a busy host.
SEEN_S = 10


class Shared:
    """A machine that has `top` at /src, and `fixed` at /fixed for reading only."""

    def __init__(self, home: Home, top: Path, fixed: Path, name: str) -> None:
        self.home = home
        self.top = top
        self.fixed = fixed
        self.name = name

    def sh(self, script: str, *, user: str = "root") -> str:
        return self.home.text("vm", "exec", "-u", user, self.name, "--", "sh", "-c", script)

    def perl(self, script: str) -> str:
        return self.home.text("vm", "exec", "-i", self.name, "--", "perl", "-", stdin=script.encode())

    def fails(self, script: str) -> str:
        done = self.home.run("vm", "exec", self.name, "--", "sh", "-c", script)
        assert done.returncode != 0, done.stdout
        return done.stderr.decode()

    def servers(self) -> list[int]:
        needle = f":{self.top}".encode()
        return [
            pid
            for pid, line in command_lines()
            if b"share-" in line and b"--channel" in line and needle in line
        ]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shares")


@pytest.fixture(scope="module")
def shared(module_home: Home, places: Path) -> Shared:
    top, fixed = places / "top", places / "fixed"
    top.mkdir()
    fixed.mkdir()
    (fixed / "file").write_text("fixed")
    (places / "secret").write_text("secret")
    options = ["-v", f"{top}:/src", "--mount", f"type=bind,source={fixed},target=/fixed/deep,readonly"]
    module_home.text("vm", "run", "-d", "--name", "shared", *options, IMAGE, "--", "sleep", "infinity")
    return Shared(module_home, top, fixed, "shared")


@pytest.fixture(scope="module")
def module_home() -> Iterator[Home]:
    from tests.support.home import open_home

    with open_home() as home:
        yield home


def test_each_side_sees_what_the_other_changes(shared: Shared) -> None:
    shared.sh("mkdir -p /src/a/b && echo guest >/src/a/b/file")
    assert (shared.top / "a/b/file").read_text() == "guest\n"
    (shared.top / "a/b/file").write_text("host\n")
    (shared.top / "a/new").write_text("new\n")
    wait_until(
        lambda: shared.sh("cat /src/a/b/file /src/a/new") == "host\nnew\n", SEEN_S, "the guest sees it"
    )
    (shared.top / "a/new").unlink()
    wait_until(lambda: "new" not in shared.sh("ls /src/a"), SEEN_S, "the guest sees that it is gone")


def test_a_large_file_comes_and_goes_unchanged(shared: Shared) -> None:
    contents = os.urandom(3_000_001)
    (shared.top / "large").write_bytes(contents)
    shared.sh(
        "cp /src/large /tmp/large && cp /tmp/large /src/copy && sync /src/copy && cmp /src/large /src/copy"
    )
    assert (shared.top / "copy").read_bytes() == contents


def test_files_belong_to_the_user_of_the_command(shared: Shared) -> None:
    (shared.top / "mine").write_text("")
    assert shared.sh("stat -c %u:%g /src /src/mine") == "0:0\n0:0\n"
    shared.sh("touch /src/roots")
    assert (shared.top / "roots").stat().st_uid == os.geteuid()
    assert "not permitted" in shared.fails("chown 12 /src/mine")
    shared.sh("chown root:root /src/mine")
    options = ["--rm", "-u", "nobody", "-v", f"{shared.top}:/src"]
    script = "stat -c %U /src; echo mine >/src/nobodys"
    assert shared.home.text("vm", "run", *options, IMAGE, "--", "sh", "-c", script) == "nobody\n"
    assert (shared.top / "nobodys").read_text() == "mine\n"


def test_modes_are_kept_but_bits_that_lend_rights(shared: Shared) -> None:
    shared.sh("cp /bin/true /src/program && chmod 6751 /src/program && /src/program")
    assert stat.S_IMODE((shared.top / "program").stat().st_mode) == 0o751
    shared.sh("mkdir -m 1777 /src/sticky")
    assert stat.S_IMODE((shared.top / "sticky").stat().st_mode) == 0o1777
    (shared.top / "closed").write_text("")
    (shared.top / "closed").chmod(0)
    assert "denied" in shared.home.run(
        "vm", "exec", "-u", "nobody", shared.name, "--", "cat", "/src/closed"
    ).stderr.decode()  # fmt: skip


def test_links_lead_where_the_guest_is(shared: Shared, places: Path) -> None:
    (shared.top / "out").symlink_to("../secret")
    (shared.top / "absolute").symlink_to(places / "secret")
    (shared.top / "passwd").symlink_to("/etc/passwd")
    shared.fails("cat /src/out")
    shared.fails("cat /src/absolute")
    assert shared.sh("cat /src/passwd") == shared.sh("cat /etc/passwd")
    assert shared.sh("cd /src && cat ../etc/hostname") == shared.sh("cat /etc/hostname")
    shared.sh("ln -s target /src/link && test $(readlink /src/link) = target")
    assert os.readlink(shared.top / "link") == "target"
    shared.sh(
        "ln /src/link /src/again; echo one >/src/one && ln /src/one /src/two && rm /src/one && echo more >>/src/two"
    )
    assert (shared.top / "two").read_text() == "one\nmore\n"


def test_a_directory_that_becomes_a_link_leads_nowhere(shared: Shared, places: Path) -> None:
    (shared.top / "turns").mkdir()
    (shared.top / "turns/secret").write_text("inside")
    shared.sh("cat /src/turns/secret")
    (shared.top / "turns/secret").unlink()
    (shared.top / "turns").rmdir()
    (shared.top / "turns").symlink_to(places)
    shared.fails("cat /src/turns/secret")


def test_open_files_outlive_their_names(shared: Shared) -> None:
    said = shared.perl(r"""
        $| = 1; open(F, "+>", "/src/open"); syswrite(F, "abc"); unlink "/src/open";
        print((stat(F))[7]); syswrite(F, "def"); print((stat(F))[7]); sysseek(F, 0, 0); sysread(F, $b, 9); print "$b\n";
        open(G, ">", "/src/old"); syswrite(G, "old"); open(N, ">", "/src/fresh"); syswrite(N, "fresh"); close N;
        rename "/src/fresh", "/src/old"; syswrite(G, "!"); print((stat(G))[7], "\n");
    """)
    assert said == "36abcdef\n4\n"
    assert (shared.top / "old").read_text() == "fresh"


def test_both_sides_append_to_one_file(shared: Shared) -> None:
    shared.sh("echo one >/src/log")
    with open(shared.top / "log", "a") as log:
        log.write("host\n")
    shared.sh("echo two >>/src/log")
    assert (shared.top / "log").read_text() == "one\nhost\ntwo\n"


def test_sparse_files_stay_sparse(shared: Shared) -> None:
    shared.sh(
        "truncate -s 1G /src/sparse && echo x | dd of=/src/sparse conv=notrunc bs=1 seek=500000000 2>/dev/null"
    )
    found = (shared.top / "sparse").stat()
    assert found.st_size == 1 << 30
    assert found.st_blocks * 512 < 10 << 20
    shared.sh("fallocate -l 100000 /src/allocated")
    assert (shared.top / "allocated").stat().st_size == 100_000


def test_names_are_bytes(shared: Shared) -> None:
    longest = "n" * 255
    shared.sh(f"touch /src/{longest} && touch $(printf '/src/\\377\\376')")
    assert (shared.top / longest).exists()
    assert b"\xff\xfe" in os.listdir(bytes(shared.top))
    assert "too long" in shared.fails(f"touch /src/{longest}n")
    (shared.top / "new\nline").write_text("x")
    wait_until(lambda: shared.sh("cat '/src/new\nline'") == "x", SEEN_S, "the name is found")


def test_attributes_for_users_are_kept_and_no_others(shared: Shared) -> None:
    said = shared.perl(r"""
        my ($p, $n, $v, $c) = ("/src/tagged", "user.tag", "value", "security.capability"); open(F, ">", $p); close F;
        print syscall(188, $p, $n, $v, 5, 0); print syscall(188, $p, $c, $v, 5, 0), "\n";
    """)
    assert said == "0-1\n"
    assert os.getxattr(shared.top / "tagged", "user.tag") == b"value"
    assert os.listxattr(shared.top / "tagged") == ["user.tag"]


def test_what_is_for_reading_only_stays_as_it_is(shared: Shared) -> None:
    assert shared.sh("cat /fixed/deep/file") == "fixed"
    for attempt in ("echo x >/fixed/deep/file", "touch /fixed/deep/new", "rm /fixed/deep/file"):
        assert "Read-only" in shared.fails(attempt)
    # A root that mounts it anew for writing gets no further.
    shared.fails("mount -o remount,rw /fixed/deep && echo x >/fixed/deep/file")
    assert (shared.fixed / "file").read_text() == "fixed"


def test_many_files_are_listed_whole(shared: Shared) -> None:
    many = shared.top / "many"
    many.mkdir()
    for number in range(2000):
        (many / f"file-{number}").touch()
    assert shared.sh("ls /src/many | wc -l").strip() == "2000"
    assert shared.sh("find /src/many -type f | wc -l").strip() == "2000"
    shared.sh("rm -r /src/many")
    assert not many.exists()


def test_one_file_can_be_shared(shared: Shared) -> None:
    settings = shared.fixed / "settings"
    settings.write_text("one\n")
    options = ["--rm", "-v", f"{settings}:/etc/app/settings"]
    script = "cat /etc/app/settings; echo two >>/etc/app/settings; ls /etc/app"
    assert shared.home.text("vm", "run", *options, IMAGE, "--", "sh", "-c", script) == "one\nsettings\n"
    assert settings.read_text() == "one\ntwo\n"


def test_targets_may_lie_in_one_another(shared: Shared) -> None:
    options = ["--rm", "-v", f"{shared.top}:/w", "-v", f"{shared.fixed}:/w/inner"]
    assert shared.home.text("vm", "run", *options, IMAGE, "--", "cat", "/w/inner/file") == "fixed"


@pytest.mark.parametrize("target", ["/made/for/it", "/made-file"])
def test_a_read_only_root_gets_the_targets_that_it_lacks(
    module_home: Home, places: Path, target: str, name: str
) -> None:
    source = places / f"for-{name}"
    if target.endswith("file"):
        source.write_text("whole")
    else:
        source.mkdir()
    script = f"test -e {target} && ! touch /x && echo fine"
    flags = ["--read-only", "-v", f"{source}:{target}"]
    done = module_home.run("run", "--rm", *flags, IMAGE, "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, b"fine\n"), done.stderr


def test_a_server_that_is_killed_is_started_again(shared: Shared) -> None:
    (shared.top / "kept").write_text("kept\n")
    [before] = shared.servers()
    os.kill(before, signal.SIGKILL)
    # What begins before the guest notices the end fails, as docs/files.md says; what begins then waits for the next.
    assert shared.sh("sleep 0.3; cat /src/kept") == "kept\n"
    assert shared.servers() not in ([], [before])


def test_a_machine_keeps_its_directories_without_a_daemon(shared: Shared) -> None:
    home = shared.home
    script = "i=0; while :; do i=$((i+1)); echo $i >/src/tick; sleep 0.1; done"
    home.text("vm", "exec", "-d", shared.name, "--", "sh", "-c", script)
    tick = shared.top / "tick"
    wait_until(tick.exists, SEEN_S, "the guest writes")
    [server] = shared.servers()
    os.kill(home.daemon_pid(), signal.SIGKILL)
    before = tick.read_text()
    wait_until(lambda: tick.read_text() not in ("", before), SEEN_S, "the guest goes on")
    assert alive(server)
    os.kill(server, signal.SIGKILL)
    assert shared.sh("echo here >/src/again && cat /src/again") == "here\n"  # the next daemon starts a server
    assert shared.servers() != [server]


def test_a_directory_that_vanishes_is_an_error_not_a_wait(shared: Shared) -> None:
    gone = shared.fixed.parent / "gone"
    gone.mkdir()
    (gone / "file").write_text("x")
    shared.home.text(
        "vm", "run", "-d", "--name", "loser", "-v", f"{gone}:/gone", IMAGE, "--", "sleep", "infinity"
    )
    (gone / "file").unlink()
    gone.rmdir()
    begun = time.monotonic()
    assert shared.home.run("vm", "exec", "loser", "--", "cat", "/gone/file").returncode != 0
    assert shared.home.run("vm", "exec", "loser", "--", "touch", "/gone/new").returncode != 0
    assert time.monotonic() - begun < 60
    shared.home.text("vm", "delete", "--force", "loser")


def test_a_source_that_cannot_be_opened_is_named(shared: Shared, places: Path) -> None:
    for source, why in ((places / "missing", b"No such file"), (Path("/"), b"cannot share /")):
        done = shared.home.run("vm", "run", "--rm", "-v", f"{source}:/x", IMAGE, "--", "true")
        assert done.returncode == 125
        assert why in done.stderr


def test_a_stopped_machine_leaves_no_server_and_gets_one_again(shared: Shared) -> None:
    shared.home.text("vm", "stop", shared.name)
    assert shared.servers() == []
    shared.home.text("vm", "start", shared.name)
    shared.sh("echo back >/src/back")
    assert (shared.top / "back").read_text() == "back\n"
