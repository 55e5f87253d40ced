"""Copies of machines with directories of the host: each copy has a server of its own, and what was open is stale in it,
as after the end of a server."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home, open_home, wait_until
from tests.support.shared_directory import SEEN_S, Sharer, servers_of

pytestmark = pytest.mark.e2e

# A process of the guest that has a file open, and says each time it is told to whether it can still write there.
WRITER = r"""
open(F, ">>", "/src/log") or die; select(F); $| = 1; select(STDOUT);
while (1) {
    if (-e "/dev/shm/ask") {
        my $said = syswrite(F, "x") ? "wrote" : "failed: $!";
        if ($said ne "wrote" && open(F, ">>", "/src/log")) { $said .= syswrite(F, "y") ? ", reopened" : ", $!" }
        unlink("/dev/shm/ask"); open(S, ">", "/dev/shm/said.new"); print S $said; close(S);
        rename("/dev/shm/said.new", "/dev/shm/said");
    }
    select(undef, undef, undef, 0.1);
}
"""
ASK = "rm -f /dev/shm/said; touch /dev/shm/ask; until [ -e /dev/shm/said ]; do sleep 0.05; done; cat /dev/shm/said"


@pytest.fixture(scope="module")
def own() -> Iterator[Home]:
    with open_home(own_images=True) as home:
        yield home


@pytest.fixture
def sharer(own: Home, name: str, tmp_path: Path) -> Iterator[Sharer]:
    top = tmp_path / "top"
    top.mkdir()
    (top / "old").write_text("old\n")
    sharer = Sharer(own, name, top)
    sharer.sh(f"cat >/root/writer <<'END'\n{WRITER}\nEND\nmkdir -p /src/deep/er; ls -R /src >/dev/null")
    own.text("vm", "exec", "-d", name, "--", "perl", "/root/writer")
    assert sharer.sh(ASK) == "wrote"
    yield sharer
    for machine in own.json("vm", "list"):
        if machine["name"].startswith(name):
            own.text("vm", "delete", "-f", machine["name"])
    assert servers_of(top) == []


def test_children_of_a_fork_share_the_directories_and_open_their_files_anew(
    own: Home, sharer: Sharer, name: str
) -> None:
    own.text("vm", "fork", name, "--count", "2")
    first, second = f"{name}-1", f"{name}-2"
    assert len(sharer.servers()) == 3
    assert sharer.sh(ASK) == "wrote"  # the parent has noticed nothing
    for child in (first, second):
        said = sharer.sh(ASK, machine=child)
        assert said.startswith("failed: ") and said.endswith(", reopened"), said
        assert sharer.sh("cat /src/old; ls -d /src/deep/er", machine=child) == "old\n/src/deep/er\n"
        sharer.sh(f"echo {child} >/src/deep/{child}", machine=child)
        assert (sharer.top / "deep" / child).read_text() == f"{child}\n"
    assert (sharer.top / "log").read_text() == "xxyy"
    # What one does, the others see.
    sharer.sh("mv /src/old /src/new", machine=second)
    looks = [functools.partial(sharer.sh, "ls /src", machine=one) for one in (name, first)]
    wait_until(lambda: all("new" in look() for look in looks), SEEN_S, "the others see it")
    # One is as good as the other: the parent goes, and the children keep what they have.
    own.text("vm", "delete", "-f", name)
    assert sharer.sh("cat /src/new", machine=first) == "old\n"
    own.text("vm", "restart", second)
    assert sharer.sh("cat /src/new", machine=second) == "old\n"


def test_a_snapshot_comes_back_to_the_directories_as_they_are_then(
    own: Home, sharer: Sharer, name: str
) -> None:
    own.text("vm", "snapshot", name, "one")
    sharer.sh("echo later >/src/later; rm /src/old; echo x >/root/own")
    [before] = sharer.servers()
    own.text("vm", "restore", name, "one")
    [after] = sharer.servers()
    assert after != before
    assert sharer.sh("cat /src/later") == "later\n"  # the host's files are not part of a snapshot
    assert "No such file" in sharer.fails("cat /src/old")
    sharer.fails("cat /root/own")
    said = sharer.sh(ASK)
    assert said.startswith("failed: ") and said.endswith(", reopened"), said
    # Made again, where the machine is gone.
    own.text("vm", "delete", "-f", name)
    own.text("vm", "restore", name, "one")
    assert sharer.sh("cat /src/later") == "later\n"
    # And not where a directory is gone: that is said before the machine's present state is lost.
    sharer.top.rename(sharer.top.with_name("away"))
    refused = own.run("vm", "restore", name, "one")
    assert refused.returncode != 0 and b"cannot share" in refused.stderr, refused.stderr
    assert own.json("vm", "show", name)["state"] == "running"
    sharer.top.with_name("away").rename(sharer.top)


def test_a_snapshot_with_directories_stays_on_this_host(own: Home, sharer: Sharer, name: str) -> None:
    own.text("vm", "snapshot", name, "here")
    refused = own.run("snapshot", "export", name, "here", str(sharer.top / "here.zst"))
    assert refused.returncode != 0 and b"has directories of this host" in refused.stderr, refused.stderr
    # What the refusal advises works: the disk without the directories.
    own.text("vm", "commit", name, f"{name}-image")
    assert own.text("run", "--rm", f"{name}-image", "--", "sh", "-c", "ls /src; ls /root") == "writer\n"
    own.text("image", "delete", f"{name}-image")
    own.text("snapshot", "delete", name, "here")
