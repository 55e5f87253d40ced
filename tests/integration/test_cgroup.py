"""Control groups of this host: entered before a program begins, limits that the kernel holds, nothing left."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host import delegation as found
from banger.host.cgroup import Group, plan_group
from banger.host.delegation import CONTROLLERS, delegation
from banger.host.proc import ProcessRef, is_alive, kill_and_wait, usage, wait_gone
from banger.host.spawn import spawn_detached
from tests.support.home import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def group() -> Iterator[Group]:
    missing = [f"{name}: {why}" for name, why in delegation().missing.items()]
    if missing:
        pytest.skip("capability missing: writable control groups (" + "; ".join(missing) + ")")
    made = plan_group(delegation(), f"banger-test-{os.getpid()}")
    made.make()
    yield made
    asyncio.run(made.remove())
    assert not any(path.exists() for path in made.paths)


def spawn(group: Group, tmp_path: Path, script: str) -> ProcessRef:
    return spawn_detached(
        [sys.executable, "-c", script],
        marker="test",
        output=tmp_path / "out",
        cwd=tmp_path,
        entrances=group.entrances(),
    )


def wait_for(path: Path, text: str) -> None:
    wait_until(lambda: path.exists() and text in path.read_text(), 20, f"the program prints {text!r}")


def test_a_program_is_in_its_group_from_its_first_instruction(group: Group, tmp_path: Path) -> None:
    script = "print(open('/proc/self/cgroup').read(), 'done', flush=True); import time; time.sleep(60)"
    process = spawn(group, tmp_path, script)
    wait_for(tmp_path / "out", "done")
    printed = (tmp_path / "out").read_text()
    assert printed.count(group.paths[0].name) == len(group.paths)
    assert group.processes() == [process.pid]
    asyncio.run(kill_and_wait(process))


def test_who_reaches_its_memory_limit_is_killed_and_that_can_be_told(group: Group, tmp_path: Path) -> None:
    group.limit_memory(64 << 20)
    hog = spawn(group, tmp_path, "b = bytearray(200 << 20); print('done', len(b), flush=True)")
    assert asyncio.run(wait_gone(hog, 20))
    assert "done" not in (tmp_path / "out").read_text()
    assert group.memory_kills() >= 1


def test_who_has_a_tenth_of_a_processor_gets_no_more(group: Group, tmp_path: Path) -> None:
    group.limit_cpu(0.1)
    busy = spawn(group, tmp_path, "print('begun', flush=True)\nwhile True: pass")
    wait_for(tmp_path / "out", "begun")
    before, begun = usage(busy), time.monotonic()
    time.sleep(2)
    after, passed_s = usage(busy), time.monotonic() - begun
    asyncio.run(kill_and_wait(busy))
    assert before is not None and after is not None
    assert after.cpu_s - before.cpu_s < 0.1 * passed_s + 0.15


def test_who_may_have_no_more_threads_gets_none(group: Group, tmp_path: Path) -> None:
    group.limit_pids(3)
    script = (
        "import threading, time\n"
        "try:\n  for _ in range(9): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "except RuntimeError: print('no more', threading.active_count(), flush=True)\n"
    )
    process = spawn(group, tmp_path, script)
    wait_for(tmp_path / "out", "no more 3")
    asyncio.run(kill_and_wait(process))


def test_a_group_is_removed_with_all_that_is_in_it(group: Group, tmp_path: Path) -> None:
    script = "import os, time\nfor _ in range(4): os.fork()\nprint('here', flush=True)\ntime.sleep(60)"
    process = spawn(group, tmp_path, script)
    wait_for(tmp_path / "out", "here\n" * 16)
    assert len(group.processes()) == 16
    asyncio.run(group.remove())
    assert not is_alive(process)
    assert not any(path.exists() for path in group.paths)
    asyncio.run(group.remove())  # gone already is fine


def test_a_group_that_cannot_be_entered_starts_nothing(group: Group, tmp_path: Path) -> None:
    elsewhere = Group(dict.fromkeys(CONTROLLERS, tmp_path / "no-such-group"))
    with pytest.raises(Error) as caught:
        spawn(elsewhere, tmp_path, "print('done')")
    assert caught.value.code == "jail_failed" and "no-such-group" in caught.value.message
    assert "done" not in (tmp_path / "out").read_text()


def test_a_running_process_with_threads_is_moved_whole(group: Group, tmp_path: Path) -> None:
    script = (
        "import threading, time\n"
        "for _ in range(3): threading.Thread(target=time.sleep, args=(60,)).start()\nprint('up', flush=True)"
    )
    process = spawn(Group({}), tmp_path, script)
    wait_for(tmp_path / "out", "up")
    group.add(process.pid)
    assert group.processes() == [process.pid]
    tasks = [
        Path(f"/proc/{process.pid}/task/{tid}/cgroup") for tid in os.listdir(f"/proc/{process.pid}/task")
    ]
    assert len(tasks) == 4
    assert all(group.paths[0].name in task.read_text() for task in tasks)
    asyncio.run(kill_and_wait(process))


def test_groups_of_version_2_are_entered_and_removed(tmp_path: Path) -> None:
    """Also where version 1 has all controllers; limits need one that version 2 has."""
    mounts = found.read_mounts(Path("/proc/self/mountinfo").read_text())
    tree = next((mount.point for mount in mounts if mount.version == 2), None)
    if tree is None or not os.access(tree, os.W_OK):
        pytest.skip("capability missing: a writable tree of control groups of version 2")
    group = Group({"memory": tree / f"banger-test-{os.getpid()}"})
    group.make()
    try:
        assert group.version("memory") == 2
        process = spawn(group, tmp_path, "print('up', flush=True); import time; time.sleep(60)")
        wait_for(tmp_path / "out", "up")
        assert group.processes() == [process.pid]
    finally:
        asyncio.run(group.remove())
    assert not is_alive(process)
    assert not group.paths[0].exists()


def test_what_the_kernel_mounts_is_what_mount_says() -> None:
    kinds = subprocess.run(["findmnt", "-rno", "FSTYPE"], capture_output=True, text=True, check=True).stdout
    mounts = found.read_mounts(Path("/proc/self/mountinfo").read_text())
    assert len(mounts) == sum(kind in ("cgroup", "cgroup2") for kind in kinds.split())
