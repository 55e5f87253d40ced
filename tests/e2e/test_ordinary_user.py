"""banger as an ordinary user, where this suite runs as root: the same VMs, in user namespaces."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import banger
from tests.support.home import IMAGE, alive, golden_home, wait_until

pytestmark = [pytest.mark.e2e]

NOBODY = 65534
# Of a virtual environment below another user's home, nobody may run the interpreter.
PYTHON = "/usr/bin/python3"
PATH = [
    str(Path(banger.__file__).parent.parent),
    *(path for path in sys.path if path.endswith("site-packages")),
]

Banger = Callable[..., str]


@pytest.fixture
def user() -> Iterator[Banger]:
    """Runs banger as that user, in a home with the kernel and the image."""
    if os.geteuid() != 0:
        pytest.skip("capability missing: root, to become another user; all other tests ran as one")
    with tempfile.TemporaryDirectory(prefix="bu-") as directory:
        home = Path(directory)
        environment = {
            "BANGER_HOME": directory,
            "HOME": directory,
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(PATH),
        }

        become = [*_with_taps(home), "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

        def run(*words: str) -> str:
            done = subprocess.run(
                [*become, PYTHON, "-m", "banger.cli.main", *words],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, f"banger {' '.join(words)}: {done.stdout}\n{done.stderr}"
            return done.stdout

        golden = golden_home()
        for name in ("images", "kernels", "initramfs"):
            (home / "cache").mkdir(exist_ok=True)
            copy = [
                "cp",
                "-r",
                "--sparse=always",
                f"{golden.directory}/cache/{name}",
                f"{directory}/cache/{name}",
            ]
            subprocess.run(copy, check=True)
        (home / "state").mkdir()
        shutil.copy(golden.state / "banger.db", home / "state" / "banger.db")
        (home / "config").mkdir()
        (home / "config/config.toml").write_text("[pool]\nper_template = 1\n")
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", home], check=True)
        readable = subprocess.run(
            [PYTHON, "-c", "import banger.cli.main"],
            env=environment,
            cwd="/",
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
        )
        if readable.returncode != 0:
            pytest.skip("capability missing: a checkout and packages that other users can read")
        try:
            yield run
        finally:
            for machine in json.loads(run("vm", "list", "--json")):
                run("vm", "delete", "-f", machine["name"])
            pid = int(json.loads(run("system", "info", "--json"))["daemon_pid"])
            guards = _guards(run)
            run("system", "stop")
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, "the daemon ends")
            assert not [guard for guard in guards if alive(guard)]


def _with_taps(directory: Path) -> list[str]:
    """What runs a command with a device for taps that every user can open, as hosts have it; nothing where this host
    refuses a mount namespace or such a device."""
    node = str(directory / "tun")
    try:
        os.mknod(node, 0o20666, os.makedev(10, 200))
        os.chmod(node, 0o666)
    except OSError:
        return []
    prefix = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /dev/net/tun && exec "$@"', node]
    return prefix if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0 else []


def _guards(user: Banger) -> list[int]:
    """The processes of keeper and relay."""
    place = json.loads(user("system", "info", "--json"))["places"]["state"] + "/network"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.joinpath("cwd").readlink() == Path(place):
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def test_run_snapshot_fork_and_adopt_in_a_user_namespace(user: Banger) -> None:
    assert user("run", "--rm", IMAGE, "--", "echo", "cold").strip() == "cold"
    assert user("run", "-d", "--name", "a", IMAGE).strip() == "a"
    shown = json.loads(user("vm", "show", "a", "--json"))
    status = Path(f"/proc/{shown['pid']}/status").read_text()
    assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status and "CapEff:\t0000000000000000" in status
    if "user" not in shown["confinement"]["layers"]:
        pytest.skip(f"capability missing: {shown['confinement']['missing']}")
    if not json.loads(user("system", "info", "--json"))["no_taps"]:
        assert shown["network"]["link"] == "tap" and "net" in shown["confinement"]["layers"]
    assert os.readlink(f"/proc/{shown['pid']}/ns/user") != os.readlink("/proc/self/ns/user")
    user("exec", "a", "--", "sh", "-c", "echo kept > /root/word; sync")
    user("vm", "snapshot", "a", "one")
    user("vm", "fork", "a", "--count", "1")
    assert user("exec", "a-1", "--", "cat", "/root/word") == "kept\n"
    guards = _guards(user)
    user("system", "stop")
    assert user("exec", "a-1", "--", "cat", "/root/word") == "kept\n"  # adopted by the next daemon
    assert _guards(user) == guards
    user("vm", "snapshot", "a-1", "two")
    user("vm", "commit", "a", "made")
    assert user("run", "--rm", "made", "--", "cat", "/root/word") == "kept\n"


@pytest.fixture
def owned() -> Iterator[Path]:
    """A directory of that user, with a file that is only root's."""
    with tempfile.TemporaryDirectory(prefix="bs-") as directory:
        top = Path(directory)
        (top / "seen").write_text("seen\n")
        (top / "secret").write_text("secret\n")
        (top / "secret").chmod(0o600)
        (top / "mine").write_text("mine\n")
        for path in (top, top / "mine"):
            os.chown(path, NOBODY, NOBODY)
        top.chmod(0o755)
        yield top


def test_directories_give_a_guest_what_their_user_may_do(user: Banger, owned: Path) -> None:
    user("run", "-d", "--name", "a", "-v", f"{owned}:/src", "-v", f"{owned}:/fixed:ro", IMAGE)

    def sh(script: str, machine: str = "a") -> str:
        return user("exec", machine, "--", "sh", "-c", script)

    # Of this user's namespace, the files of others belong to this user's number: it is that of nobody.
    assert sh("stat -c '%u %n' /src/mine") == "0 /src/mine\n"
    # The guest's root is no more than the user.
    assert sh("cat /src/seen; ! cat /src/secret; ! echo x >>/src/seen; echo end") == "seen\nend\n"
    sh(
        "echo guest >/src/new && mkdir -m 700 /src/directory && cp /src/new /src/directory/ && ! touch /fixed/x"
    )
    assert (owned / "new").stat().st_uid == NOBODY and (owned / "directory/new").read_text() == "guest\n"
    [server] = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if f"rw:{owned}".encode() in _command_line(entry) and b"--channel" in _command_line(entry)
    ]
    status = Path(f"/proc/{server}/status").read_text()
    assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status
    os.kill(server, signal.SIGKILL)
    assert sh("sleep 0.5; cat /src/new") == "guest\n"
    user("vm", "fork", "a")
    sh("echo child >/src/child", "a-1")
    assert sh("cat /src/child") == "child\n"


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""
