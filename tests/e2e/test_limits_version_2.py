"""Control groups of version 2, on a host that has nothing else: a machine of ours, in which our own code runs.

It gets the Python that runs this test, and the `host` room.
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, REPOSITORY, Home

pytestmark = pytest.mark.e2e

_PYTHON = Path(sys.base_prefix)
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LEFT_OUT = frozenset(
    "site-packages dist-packages test idlelib __pycache__ ensurepip tkinter lib2to3 pydoc_data turtledemo".split()
)
_AS_ROOT = """
import asyncio, sys, time
from pathlib import Path
from banger.host.cgroup import plan_group
from banger.host.delegation import CONTROLLERS, delegation
from banger.host.proc import is_alive, usage, wait_gone
from banger.host.spawn import spawn_detached

def spawn(script):
    return spawn_detached([sys.executable, "-c", script], marker="test", output=Path("/tmp/out"),
                          cwd=Path("/"), entrances=group.entrances())

assert delegation().missing == {}, delegation()
group = plan_group(delegation(), "banger-test")
group.make()
assert [group.version(name) for name in CONTROLLERS] == [2, 2, 2]
group.limit_memory(48 << 20)
hog = spawn("b = bytearray(200 << 20); print('done')")
assert asyncio.run(wait_gone(hog, 60))
assert group.memory_kills() == 1 and "done" not in Path("/tmp/out").read_text()

group.limit_memory(200 << 20)
group.limit_cpu(0.2)
group.limit_pids(5)
busy = spawn("print('up', flush=True)\\nwhile True: pass")
end = time.monotonic() + 20
while "up" not in Path("/tmp/out").read_text():
    assert time.monotonic() < end, "it does not begin"
    time.sleep(0.1)
assert group.processes() == [busy.pid]
assert "0::/banger-test" in Path(f"/proc/{busy.pid}/cgroup").read_text()
before = usage(busy).cpu_s
time.sleep(4)
share = (usage(busy).cpu_s - before) / 4
assert share < 0.25, share
asyncio.run(group.remove())
assert not is_alive(busy) and not group.paths[0].exists()
print("held")
"""
_AS_USER = """
import asyncio, os, subprocess, sys, time
from pathlib import Path
from banger.host.cgroup import plan_group
from banger.host.delegation import CONTROLLERS, delegation
from banger.host.spawn import spawn_detached

whole, name = Path("/sys/fs/cgroup"), sys.argv[1]
(whole / "cgroup.subtree_control").write_text("+memory +pids +cpu")
(whole / "users").mkdir(exist_ok=True)
(whole / "users/cgroup.subtree_control").write_text("+memory +pids +cpu")
own = whole / "users" / name
own.mkdir()
for path in (own, *own.iterdir()):
    os.chown(path, 1000, 1000)
(own / "cgroup.procs").write_text("0")
if name == "shared":
    other = subprocess.Popen(["/bin/sleep", "5"])
os.setgid(1000)
os.setuid(1000)
found = delegation()
if name == "shared":
    print(found.missing["memory"], Path("/proc/self/cgroup").read_text().strip())
    other.wait()
    sys.exit()
assert found.bases == dict.fromkeys(CONTROLLERS, own), found
group = plan_group(found, "banger-test")
group.make()
group.limit_memory(64 << 20), group.limit_cpu(1.25), group.limit_pids(9)
process = spawn_detached(["/bin/sleep", "60"], marker="test", output=Path("/tmp/sleep-out"), cwd=Path("/"),
                         entrances=group.entrances())
end = time.monotonic() + 20
while group.processes() != [process.pid]:
    assert time.monotonic() < end, group.processes()
    time.sleep(0.01)
assert (group.paths[0] / "cpu.max").read_text() == "125000 100000\\n"
asyncio.run(group.remove())
assert not group.paths[0].exists()
print("held")
"""


def our_code() -> bytes:
    """A tar file with Python, the rooms that are needed, and the checks."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:

        def add(path: Path, name: str) -> None:
            archive.add(
                path.resolve(),
                name,
                filter=lambda member: None if _LEFT_OUT & set(member.name.split("/")) else member,
            )

        add(_PYTHON / "bin" / _VERSION, "py/bin/python")
        add(_PYTHON / "lib" / _VERSION, f"py/lib/{_VERSION}")
        for library in (_PYTHON / "lib").glob(f"lib{_VERSION}.so*"):
            add(library, f"py/lib/{library.name}")
        for part in ("__init__.py", "environment.py", "errors.py", "host", "model"):
            add(REPOSITORY / "src/banger" / part, f"py/src/banger/{part}")
        for name, script in (("as_root.py", _AS_ROOT), ("as_user.py", _AS_USER)):
            member = tarfile.TarInfo(f"py/{name}")
            member.size = len(script.encode())
            archive.addfile(member, io.BytesIO(script.encode()))
    return packed.getvalue()


@pytest.fixture(scope="module")
def host(home: Home) -> Iterator[str]:
    """A machine whose kernel has version 2 only."""
    name = "version-2"
    home.text("run", "-d", "--name", name, "--memory", "640MiB", IMAGE)
    try:
        home.text("exec", "-i", name, "--", "tar", "x", "-C", "/", stdin=our_code())
        started = home.run("exec", name, "--", *python("-c", "print(1)"))
        if started.stdout != b"1\n":
            pytest.skip(
                f"capability missing: a Python that runs in {IMAGE}: {started.stderr.decode()[-200:]}"
            )
        yield name
    finally:
        home.text("vm", "delete", "-f", name)


def python(*words: str) -> tuple[str, ...]:
    variables = ("PYTHONHOME=/py", "PYTHONPATH=/py/src", "LD_LIBRARY_PATH=/py/lib")
    return ("env", *variables, "/py/bin/python", *words)


def test_limits_hold_for_root(home: Home, host: str) -> None:
    assert home.text("exec", host, "--", *python("/py/as_root.py")) == "held\n"


def test_a_user_has_the_group_that_was_delegated(home: Home, host: str) -> None:
    assert home.text("exec", host, "--", *python("/py/as_user.py", "own")) == "held\n"


def test_a_group_that_others_are_in_is_left_alone(home: Home, host: str) -> None:
    said = home.text("exec", host, "--", *python("/py/as_user.py", "shared"))
    assert said == "the control group of this process contains other processes 0::/users/shared\n"
