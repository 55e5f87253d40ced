"""What changed on a machine's disk, of running and stopped machines, of forks, of machines of a committed image."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.home import IMAGE, Home, open_home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# "same" keeps size and time; the clock of files ticks every few milliseconds.
_BEFORE = (
    "mkdir -p /srv/tree/inner /srv/gone /srv/shape; cd /srv; echo one >same; touch -d @1000000000 same; echo x >moved; "
    "echo x >mode; echo x >gone/file; echo x >shape/file; ln -s a link; echo x >still; sync"
)
_CHANGES = (
    "cd /srv; echo two >same; touch -d @1000000000 same; mv moved elsewhere; chmod 600 mode; rm -r gone shape; "
    "echo x >shape; ln -sfn b link; echo x >tree/inner/new; printf x >\"$(printf 'odd\\351\\033[31m')\"; "
    "echo '10.0.0.1 other' >>/etc/hosts; echo x >/dev/shm/x; echo x >/run/x"
)
_SINCE_BEFORE = [
    "C /srv",
    "A /srv/elsewhere",
    "D /srv/gone",
    "C /srv/link",
    "C /srv/mode",
    "D /srv/moved",
    "A /srv/odd\\xe9\\x1b[31m",
    "C /srv/same",
    "C /srv/shape",
    "C /srv/tree",
    "C /srv/tree/inner",
    "A /srv/tree/inner/new",
]


@pytest.fixture(scope="module")
def prepared(own_images: Home) -> str:
    """An image of which machines are made that nothing has changed."""
    own_images.text("run", "-d", "--name", "first", IMAGE)
    own_images.text("exec", "first", "--", "sh", "-c", _BEFORE)
    own_images.text("commit", "first", "prepared")
    own_images.text("rm", "-f", "first")
    return "prepared"


@pytest.fixture(scope="module")
def own_images() -> Iterator[Home]:
    with open_home(own_images=True) as home:
        yield home


def diff(home: Home, *words: str) -> list[str]:
    return home.text("diff", *words, timeout_s=300).splitlines()


def test_changes_are_told_running_and_stopped_and_in_a_fork(own_images: Home, prepared: str) -> None:
    home = own_images
    home.text("run", "-d", "--name", "box", prepared)
    assert diff(home, "box") == []
    home.text("exec", "box", "--", "sh", "-c", _CHANGES)
    assert diff(home, "box") == _SINCE_BEFORE
    assert home.text("vm", "fork", "box").split() == ["box-1"]
    assert diff(home, "box-1") == _SINCE_BEFORE
    home.text("exec", "box-1", "--", "rm", "/srv/still")
    assert "D /srv/still" in diff(home, "box-1")
    home.text("stop", "box")
    assert diff(home, "box") == _SINCE_BEFORE
    told = home.json("diff", "box")
    assert {"kind": "added", "path": "/srv/odd\0e9\x1b[31m"} in told and len(told) == len(_SINCE_BEFORE)
    assert home.json("vm", "show", "box")["state"] == "stopped"
    assert sorted(one["name"] for one in home.json("vm", "list")) == ["box", "box-1"]
    home.text("start", "box")
    assert home.text("exec", "box", "--", "cat", "/srv/same") == "two\n"
    home.text("rm", "-f", "box", "box-1")


def test_a_machine_without_a_disk_has_no_changes(own_images: Home, prepared: str) -> None:
    own_images.text("create", "--name", "later", prepared)
    assert diff(own_images, "later") == []
    own_images.text("rm", "later")


def test_changes_are_told_in_python(own_images: Home, prepared: str) -> None:
    program = (
        "from banger import Client\n"
        f"with Client() as client, client.run(image={prepared!r}) as vm:\n"
        "    vm.files.write('/srv/new', 'x')\n"
        "    print([(one.kind, one.path) for one in vm.diff()])\n"
    )
    env = {**own_images.env, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, timeout=300)
    assert done.stdout.decode() == "[('changed', '/srv'), ('added', '/srv/new')]\n", done.stderr.decode()
