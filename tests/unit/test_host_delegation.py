"""Where control groups may be made, on hosts of every kind: trees as the kernel shows them, in a directory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from banger.host.cgroup import Group, plan_group
from banger.host.delegation import CONTROLLERS, find_delegation

OWN = "user.slice/user@1000.service/app.slice/banger.scope"


def unified(root: Path, group: str, controllers: str, enabled: str = "") -> Path:
    """A tree of version 2 with one group in it; its mountinfo line is `mount_line(root, ...)`."""
    directory = root / group
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.controllers").write_text(controllers + "\n")
    (directory / "cgroup.subtree_control").write_text(enabled)
    (directory / "cgroup.procs").write_text("")
    return directory


def mount_line(point: Path, kind: str, options: str = "rw", root: str = "/") -> str:
    return f"31 23 0:28 {root} {point} rw,relatime - {kind} {kind} {options}\n"


def test_an_ordinary_user_with_a_delegated_group_of_version_2(tmp_path: Path) -> None:
    own = unified(tmp_path, OWN, "cpu memory pids")
    found = find_delegation(f"0::/{OWN}\n", mount_line(tmp_path, "cgroup2"), root=False)
    assert found.bases == dict.fromkeys(CONTROLLERS, own)
    assert found.missing == {}
    # The kernel adds to this file what is written to it; here the last word stays.
    assert (own / "cgroup.subtree_control").read_text() == "+pids"


def test_who_only_looks_changes_nothing_and_foresees_who_is_in_the_way(tmp_path: Path) -> None:
    own = unified(tmp_path, OWN, "cpu memory pids")
    groups, mounts = f"0::/{OWN}\n", mount_line(tmp_path, "cgroup2")
    (own / "cgroup.type").write_text("domain\n")
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert find_delegation(groups, mounts, root=False, change=False).missing == {}
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    found = find_delegation(groups, mounts, root=False, change=False)
    assert set(found.missing.values()) == {"the control group of this process contains other processes"}
    assert (own / "cgroup.subtree_control").read_text() == ""
    assert sorted(path.name for path in own.iterdir() if path.is_dir()) == []


def test_a_controller_that_was_not_delegated_is_missing_alone(tmp_path: Path) -> None:
    own = unified(tmp_path, OWN, "memory pids", "memory pids")
    found = find_delegation(f"0::/{OWN}\n", mount_line(tmp_path, "cgroup2"), root=False)
    assert found.bases == {"memory": own, "pids": own}
    assert "no cpu controller" in found.missing["cpu"]


AS_NOBODY = """
import os, sys
from banger.host.delegation import find_delegation
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
found = find_delegation(*sys.argv[1:], root=False)
print(len(found.bases), *sorted(set(found.missing.values())), sep="\\n")
"""


@pytest.mark.parametrize(("mode", "bases"), [(0o555, 0), (0o777, 3)])
def test_a_group_that_is_not_ours_is_not_used(mode: int, bases: int) -> None:
    """Tried by an ordinary user, in a directory that one may enter: root may write to any."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        own = unified(Path(directory), OWN, "cpu memory pids", "cpu memory pids")
        for path in [own, *own.rglob("*")]:
            path.chmod(mode if path.is_dir() else mode & 0o666)
        argv = [sys.executable, "-c", AS_NOBODY, f"0::/{OWN}\n", mount_line(Path(directory), "cgroup2")]
        count, *missing = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert int(count) == bases
    assert missing == ([] if bases else ["no control group is delegated to this user"])


def test_root_makes_its_groups_at_the_root_of_each_tree_of_version_1(tmp_path: Path) -> None:
    for name in ("memory", "cpu,cpuacct", "pids"):
        (tmp_path / name / "some/group").mkdir(parents=True)
    mounts = "".join(
        mount_line(tmp_path / name, "cgroup", f"rw,{name}") for name in ("memory", "cpu,cpuacct", "pids")
    )
    groups = "4:memory:/some/group\n3:cpu,cpuacct:/some/group\n2:pids:/some/group\n0::/\n"
    as_root = find_delegation(groups, mounts, root=True)
    assert as_root.bases == {
        "memory": tmp_path / "memory",
        "cpu": tmp_path / "cpu,cpuacct",
        "pids": tmp_path / "pids",
    }
    as_user = find_delegation(groups, mounts, root=False)
    assert as_user.bases["cpu"] == tmp_path / "cpu,cpuacct/some/group"


def test_of_a_hybrid_each_controller_is_taken_from_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    whole = unified(tmp_path, "unified", "cpu pids", "cpu pids")
    mounts = mount_line(tmp_path / "memory", "cgroup", "rw,memory") + mount_line(whole, "cgroup2")
    found = find_delegation("4:memory:/\n0::/\n", mounts, root=True)
    assert found.bases == {"memory": tmp_path / "memory", "cpu": whole, "pids": whole}


def test_a_container_that_shows_only_its_own_group(tmp_path: Path) -> None:
    own = unified(tmp_path, "", "cpu memory pids", "cpu memory pids")
    line = mount_line(tmp_path, "cgroup2", root="/docker/1f3a")
    assert find_delegation("0::/docker/1f3a\n", line, root=False).bases["cpu"] == own
    elsewhere = find_delegation("0::/other\n", line, root=False)
    assert set(elsewhere.missing.values()) == {"this process's control group is not visible here"}


def test_a_host_without_control_groups_says_so() -> None:
    found = find_delegation("", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", root=True)
    assert found.bases == {}
    assert found.missing == dict.fromkeys(CONTROLLERS, "no control groups are mounted")


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    whole = unified(tmp_path, "a b", "memory", "memory")
    line = mount_line(tmp_path, "cgroup2").replace(str(tmp_path), f"{tmp_path}/a\\040b")
    assert find_delegation("0::/\n", line, root=True).bases == {"memory": whole}


@pytest.mark.parametrize("garbage", ["", "\n\n", ":::", "31 - cgroup", "- - -", "x - cgroup2 y z"])
def test_nonsense_in_proc_is_no_control_group(garbage: str) -> None:
    assert find_delegation(garbage, garbage, root=True).bases == {}


def test_limits_are_written_as_version_2_wants_them(tmp_path: Path) -> None:
    found = find_delegation(
        "0::/\n",
        mount_line(unified(tmp_path, "t", "cpu memory pids", "cpu memory pids"), "cgroup2"),
        root=True,
    )
    group = plan_group(found, "banger-x")
    assert group.paths == [tmp_path / "t/banger-x"]
    group.make()
    for name in ("cgroup.controllers", "cpu.max", "memory.max", "pids.max"):
        (group.paths[0] / name).touch()
    group.limit_cpu(1.25)
    group.limit_memory(1 << 20)
    group.limit_pids(7)
    assert (group.paths[0] / "cpu.max").read_text() == "125000 100000"
    assert (group.paths[0] / "memory.max").read_text() == "1048576"
    assert (group.paths[0] / "pids.max").read_text() == "7"
    assert group.entrances() == [group.paths[0] / "cgroup.procs"]
    assert [group.version(name) for name in CONTROLLERS] == [2, 2, 2]


def test_limits_are_written_as_version_1_wants_them(tmp_path: Path) -> None:
    group = Group({name: tmp_path / name for name in CONTROLLERS})
    group.make()
    (tmp_path / "memory/memory.limit_in_bytes").touch()
    group.limit_cpu(0.001)
    group.limit_memory(1 << 20)
    assert (tmp_path / "cpu/cpu.cfs_quota_us").read_text() == "1000"
    assert (tmp_path / "memory/memory.limit_in_bytes").read_text() == "1048576"
    assert group.entrances() == [tmp_path / name / "tasks" for name in CONTROLLERS]


def test_a_group_is_found_again_from_its_record() -> None:
    group = Group({"memory": Path("/a/m"), "pids": Path("/a/p")})
    assert Group.of_identity(group.identity) == group


@pytest.mark.parametrize(
    ("file", "text", "kills"),
    [
        ("memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1),
        ("memory.events", "", 0),
    ],
)
def test_deaths_for_memory_are_counted(tmp_path: Path, file: str, text: str, kills: int) -> None:
    (tmp_path / file).write_text(text)
    assert Group({"memory": tmp_path}).memory_kills() == kills
    assert Group({}).memory_kills() == 0
