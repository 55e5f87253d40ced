"""Snapshots: machines as they were, gone back to, sent elsewhere; and images made of machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.guests import (
    CLOCK_S,
    COUNTER,
    address_in_guest,
    assert_counts_on,
    assert_strangers,
    clock_error_s,
    count_of,
    facts,
    resource_owners,
)
from tests.support.home import IMAGE, Home, open_home, wait_until
from tests.support.pace import allowed_s
from tests.support.patient import write_program
from tests.support.shelter import Shelter, delete_machines, open_shelter

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def shelter() -> Iterator[Shelter]:
    with open_shelter(own_images=True) as opened:
        yield opened


@pytest.fixture
def keeper(shelter: Shelter, request: pytest.FixtureRequest) -> Iterator[Home]:
    """With images of its own, and without machines of an earlier test."""
    with shelter.lend(request.node, leave_nothing) as home:
        yield home


def leave_nothing(home: Home) -> None:
    delete_machines(home)
    assert not list((home.state / "snapshots").glob(".*"))
    assert resource_owners(home) == set()


def begin(home: Home, machine: str, *words: str) -> None:
    """A machine that counts, and knows a word in memory and on its disk."""
    home.text("run", "-d", *words, "--name", machine, IMAGE)
    home.text("exec", "-d", machine, "--", "sh", "-c", COUNTER)
    wait_until(
        lambda: home.run("exec", machine, "--", "test", "-s", "/dev/shm/count").returncode == 0,
        20,
        "it counts",
    )
    write(home, machine, "then")


def write(home: Home, machine: str, text: str) -> None:
    home.text("exec", machine, "--", "sh", "-c", f"echo {text} | tee /root/who > /dev/shm/who; sync")


def read(home: Home, machine: str) -> list[str]:
    return home.text("exec", machine, "--", "cat", "/root/who", "/dev/shm/who").split()


def refused(home: Home, *words: str, **options: Any) -> str:
    """The code of the error."""
    done = home.run(*words, "--json", **options)
    assert done.returncode not in (0, None), done.stdout
    last = done.stderr.decode().strip().splitlines()[-1]
    return str(json.loads(last)["error"]["code"])


def snapshot_directories(home: Home) -> set[str]:
    root = home.state / "snapshots"
    return {path.name for path in root.iterdir()} if root.is_dir() else set()


def test_memory_and_disk_come_back(keeper: Home, name: str) -> None:
    begin(keeper, name)
    before = facts(keeper, name)
    assert keeper.text("vm", "snapshot", name, "one").strip() == f"{name}:one"
    at_snapshot = count_of(keeper, name)
    assert_counts_on(keeper, name, at_snapshot)
    assert clock_error_s(keeper, name) < allowed_s(CLOCK_S)
    write(keeper, name, "now")
    machine_id = keeper.json("vm", "show", name)["id"]
    assert keeper.text("vm", "restore", name, "one").strip() == name
    shown = keeper.json("vm", "show", name)
    assert (shown["id"], shown["state"]) == (machine_id, "running")
    assert shown["origin"] == {"kind": "snapshot", "machine": name, "tag": "one"}
    assert read(keeper, name) == ["then", "then"]
    assert_counts_on(keeper, name, 1)
    after = facts(keeper, name)
    for key in ("hostname", "machine_id", "boot_id", "mac", "address"):
        assert after[key] == before[key]
    for key in ("urandom", "getrandom", "mktemp"):
        assert after[key] != before[key]
    assert clock_error_s(keeper, name) < allowed_s(CLOCK_S)
    keeper.text("stop", name)
    keeper.text("start", name)
    assert keeper.text("exec", name, "--", "cat", "/root/who") == "then\n"
    assert keeper.text("vm", "restore", name, "one").strip() == name
    assert read(keeper, name) == ["then", "then"]
    shown = keeper.json("vm", "show", name)
    assert facts(keeper, name)["address"] == address_in_guest(shown)


def test_two_restores_draw_differently(keeper: Home, name: str) -> None:
    begin(keeper, name)
    keeper.text("vm", "snapshot", name, "one")
    drawn = []
    for _ in range(2):
        keeper.text("vm", "restore", name, "one")
        drawn.append(facts(keeper, name))
    assert drawn[0]["hostname"] == drawn[1]["hostname"]
    for key in ("urandom", "getrandom", "mktemp"):
        assert drawn[0][key] != drawn[1][key]


def test_a_machine_that_was_deleted_comes_back(keeper: Home, name: str) -> None:
    begin(keeper, name)
    keeper.text("vm", "snapshot", name, "one")
    keeper.text("rm", "-f", name)
    keeper.text("vm", "restore", name, "one")
    assert read(keeper, name) == ["then", "then"]
    assert_counts_on(keeper, name, 1)
    shown = keeper.json("vm", "show", name)
    assert shown["origin"] == {"kind": "snapshot", "machine": name, "tag": "one"}
    assert facts(keeper, name)["address"] == address_in_guest(shown)


def test_another_machine_of_that_name_gives_way_with_its_shape(keeper: Home, name: str) -> None:
    begin(keeper, name)
    keeper.text("vm", "snapshot", name, "one")
    keeper.text("rm", "-f", name)
    keeper.text("run", "-d", "--memory", "320MiB", "--cold", "--name", name, IMAGE)
    keeper.text("vm", "restore", name, "one")
    shown = keeper.json("vm", "show", name)
    assert shown["spec"]["memory_mib"] == 512
    assert read(keeper, name) == ["then", "then"]
    found = facts(keeper, name)
    assert (found["hostname"], found["address"]) == (name, address_in_guest(shown))


def test_a_machine_that_is_removed_when_it_ends_comes_back_too(keeper: Home, name: str) -> None:
    keeper.text("run", "-d", "--rm", "--name", name, IMAGE, "--", "sleep", "600")
    write(keeper, name, "then")
    keeper.text("vm", "snapshot", name, "one")
    write(keeper, name, "now")
    keeper.text("vm", "restore", name, "one")
    assert read(keeper, name) == ["then", "then"]
    keeper.run("exec", name, "--", "pkill", "sleep")  # its answer may come too late
    wait_until(lambda: keeper.json("vm", "list") == [], 20, "its command's end removes it")


@pytest.mark.parametrize("words", [("--cold",), ("--idle-pause", "1s")], ids=["booted", "idle"])
def test_every_kind_of_machine_can_be_kept(keeper: Home, name: str, words: tuple[str, ...]) -> None:
    keeper.text("run", "-d", *words, "--name", name, IMAGE)
    write(keeper, name, "then")
    if "--idle-pause" in words:
        wait_until(lambda: keeper.json("vm", "show", name)["idle"], 30, "it is idle")
    keeper.text("vm", "snapshot", name, "one")
    assert keeper.json("vm", "show", name)["idle"] is ("--idle-pause" in words)
    write(keeper, name, "now")
    keeper.text("vm", "restore", name, "one")
    assert read(keeper, name) == ["then", "then"]
    keeper.text("vm", "snapshot", name, "two")
    write(keeper, name, "later")
    keeper.text("vm", "restore", name, "two")
    assert read(keeper, name) == ["then", "then"]


def test_a_machine_from_the_pool_can_be_kept(name: str) -> None:
    with open_home(pool=1) as pooled:
        pooled.run("run", "--rm", IMAGE, "--", "true", check=True)

        def ready() -> bool:
            return any(template["ready"] for template in pooled.json("template", "list"))

        wait_until(ready, 30, "a clone waits")
        pids = pooled.machine_processes()
        pooled.text("run", "-d", "--name", name, IMAGE)
        assert pooled.json("vm", "show", name)["pid"] in pids
        write(pooled, name, "then")
        pooled.text("vm", "snapshot", name, "one")
        write(pooled, name, "now")
        pooled.text("vm", "restore", name, "one")
        assert read(pooled, name) == ["then", "then"]
        (child,) = pooled.text("vm", "fork", name).split()
        assert read(pooled, child) == ["then", "then"]
        assert_strangers([facts(pooled, machine) for machine in (name, child)])
        pooled.text("snapshot", "delete", name, "one")


def test_snapshots_are_listed_shown_and_deleted(keeper: Home, name: str) -> None:
    keeper.text("run", "-d", "--name", name, IMAGE)
    keeper.text("vm", "snapshot", name, "one")
    keeper.text("vm", "snapshot", name, "two.b-c_d")
    assert refused(keeper, "vm", "snapshot", name, "one") == "name_taken"
    listed = keeper.json("snapshot", "list", name)
    assert [(s["machine"], s["tag"]) for s in listed] == [(name, "one"), (name, "two.b-c_d")]
    (row,) = [line for line in keeper.text("snapshot", "list").splitlines() if name in line and "one" in line]
    assert IMAGE in row and "512MiB" in row
    shown = keeper.json("snapshot", "show", name, "one")
    assert shown["image"] == IMAGE and 10 << 20 < shown["size_bytes"] < 1 << 30
    assert keeper.json("snapshot", "list", "nobody") == []
    for words in (("snapshot", "show", name, "none"), ("vm", "restore", name, "none")):
        assert refused(keeper, *words) == "snapshot_not_found"
    for bad in ("-x", "a/b", "../x", "a b", "x" * 65, ""):
        done = keeper.run("vm", "snapshot", "--json", "--", name, bad)
        assert done.returncode != 0
    keeper.text("snapshot", "delete", name, "one", "two.b-c_d")
    assert keeper.json("snapshot", "list", name) == []
    assert refused(keeper, "snapshot", "delete", name, "one") == "snapshot_not_found"
    assert keeper.text("exec", name, "--", "echo", "well") == "well\n"


def test_of_two_snapshots_of_one_name_at_once_one_is_made(keeper: Home, name: str) -> None:
    keeper.text("run", "-d", "--name", name, IMAGE)
    making = [keeper.popen("vm", "snapshot", "-q", name, "one", stderr=subprocess.PIPE) for _ in range(3)]
    said = [process.communicate(timeout=90)[1] for process in making]
    assert sorted(process.returncode for process in making) == [0, 125, 125], said
    assert len(keeper.json("snapshot", "list", name)) == 1
    assert keeper.text("exec", name, "--", "echo", "well") == "well\n"
    keeper.text("snapshot", "delete", name, "one")


def test_a_machine_is_stopped_politely_while_it_is_frozen(keeper: Home, name: str) -> None:
    begin(keeper, name)
    making = keeper.popen("vm", "snapshot", "-q", name, "one", stderr=subprocess.PIPE)
    keeper.text("stop", name)
    making.communicate(timeout=90)
    assert keeper.json("vm", "show", name)["reason"] == "stopped as asked"
    for snapshot in keeper.json("snapshot", "list", name):
        keeper.text("vm", "restore", name, snapshot["tag"])
        assert read(keeper, name) == ["then", "then"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture
def bundle(keeper: Home, bundles: Path) -> Path:
    """Of a machine `sent` with the word "then"; made for the first test that wants it, or the next if that failed."""
    file = bundles / "sent.snapshot"
    if not file.exists():
        make_bundle(keeper, file)
    return file


def make_bundle(opened: Home, file: Path) -> None:
    opened.text("run", "-d", "--name", "sent", IMAGE)
    write(opened, "sent", "then")
    opened.text("vm", "snapshot", "sent", "one")
    said = opened.text("snapshot", "export", "sent", "one", str(file))
    assert said.startswith("sha256:")
    assert opened.json("snapshot", "show", "sent", "one")["digest"] in said
    opened.run("rm", "-f", "sent", check=True)
    opened.text("snapshot", "delete", "sent", "one")


def test_a_snapshot_travels_in_a_file_and_gets_other_names(keeper: Home, bundle: Path, name: str) -> None:
    assert bundle.stat().st_size < 300 << 20
    assert keeper.json("snapshot", "list", "sent") == []
    assert keeper.text("snapshot", "import", str(bundle)).strip() == "sent:one"
    assert refused(keeper, "snapshot", "import", str(bundle)) == "name_taken"
    imported = keeper.text("snapshot", "import", "--name", name, "--tag", "other", str(bundle)).strip()
    assert imported == f"{name}:other"
    keeper.text("vm", "restore", "sent", "one")
    keeper.text("vm", "restore", name, "other")
    assert read(keeper, "sent") == read(keeper, name) == ["then", "then"]
    everyone = [facts(keeper, machine) for machine in ("sent", name)]
    assert_strangers(everyone)
    assert [one["hostname"] for one in everyone] == ["sent", name]
    again = ("snapshot", "export", name, "other", "-")
    assert keeper.run(*again, check=True).stdout[:4] == b"\x28\xb5\x2f\xfd"
    keeper.text("snapshot", "delete", "sent", "one")
    assert read(keeper, "sent") == ["then", "then"]


def test_a_snapshot_from_elsewhere_makes_nobody_else_of_a_machine(
    keeper: Home, bundle: Path, name: str
) -> None:
    keeper.text("run", "-d", "--name", name, IMAGE)
    keeper.text("snapshot", "import", "--name", name, str(bundle))
    keeper.text("vm", "restore", name, "one")
    assert read(keeper, name) == ["then", "then"]
    shown = keeper.json("vm", "show", name)
    found = facts(keeper, name)
    assert (found["hostname"], found["address"]) == (name, address_in_guest(shown))
    keeper.text("snapshot", "delete", name, "one")


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_end(data: bytes) -> bytes:
    return data[:-1]


def flipped(data: bytes) -> bytes:
    middle = len(data) * 2 // 3
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [cut, without_end, flipped, lambda data: data + b"x", lambda data: b"", lambda data: os.urandom(100_000)],
    ids=["half", "without-end", "flipped", "longer", "empty", "garbage"],
)
def test_a_damaged_file_is_refused_and_leaves_nothing(
    keeper: Home, bundle: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    before = snapshot_directories(keeper)
    file = tmp_path / "damaged.snapshot"
    file.write_bytes(damage(bundle.read_bytes()))
    assert refused(keeper, "snapshot", "import", "--name", "damaged", str(file)) == "snapshot_invalid"
    assert snapshot_directories(keeper) == before
    assert keeper.json("snapshot", "list", "damaged") == []


@pytest.mark.parametrize("part", ["memory", "devices", "root.qcow2"])
def test_a_snapshot_that_was_damaged_is_not_gone_back_to(keeper: Home, name: str, part: str) -> None:
    keeper.text("run", "-d", "--name", name, IMAGE)
    write(keeper, name, "then")
    before = snapshot_directories(keeper)
    keeper.text("vm", "snapshot", name, "one")
    (made,) = snapshot_directories(keeper) - before
    pid = keeper.json("vm", "show", name)["pid"]
    with open(keeper.state / "snapshots" / made / part, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if part == "root.qcow2":
            file.truncate(size - 1)  # its middle is the running machine's too
        else:
            file.seek(size // 2)
            file.write(b"damage")
    assert refused(keeper, "vm", "restore", name, "one") == "frozen_damaged"
    shown = keeper.json("vm", "show", name)
    assert (shown["state"], shown["pid"]) == ("running", pid)
    keeper.text("snapshot", "delete", name, "one")


def test_a_snapshot_of_another_vmm_is_refused_before_anything_is_lost(keeper: Home, name: str) -> None:
    keeper.text("run", "-d", "--name", name, IMAGE)
    before = snapshot_directories(keeper)
    keeper.text("vm", "snapshot", name, "one")
    (made,) = snapshot_directories(keeper) - before
    meta = keeper.state / "snapshots" / made / "meta.json"
    meta.write_bytes(meta.read_bytes().replace(b'"driver_build":"', b'"driver_build":"another '))
    write(keeper, name, "now")
    assert refused(keeper, "vm", "restore", name, "one") == "snapshot_incompatible"
    assert read(keeper, name) == ["now", "now"]
    keeper.text("snapshot", "delete", name, "one")


def test_a_disk_becomes_an_image(keeper: Home, name: str) -> None:
    """Of a running machine and of a stopped one; machines run from it."""
    keeper.text("run", "-d", "--name", name, IMAGE)
    write(keeper, name, "running")
    assert keeper.text("vm", "commit", name, f"{name}-a").strip() == f"{name}-a:latest"
    write(keeper, name, "stopped")
    keeper.text("stop", name)
    keeper.text("vm", "commit", name, f"{name}-b")
    for image, said in ((f"{name}-a", "running"), (f"{name}-b", "stopped")):
        script = "cat /root/who; hostname; mount | grep -c ' / '"
        lines = keeper.text("run", "--rm", image, "--", "sh", "-c", script).splitlines()
        assert lines[0] == said and lines[1] != name
    keeper.text("start", name)
    assert keeper.text("exec", name, "--", "cat", "/root/who") == "stopped\n"
    keeper.text("vm", "create", "--name", f"{name}-new", IMAGE)
    assert refused(keeper, "vm", "commit", f"{name}-new", f"{name}-c") == "bad_state"
    keeper.run("rm", "-f", name, f"{name}-new", check=True)
    keeper.run("image", "delete", f"{name}-b", check=True)


def needs_recovery(disk: Path) -> bool:
    """Whether there is something in the journal: a flag in the superblock."""
    with open(disk, "rb") as file:
        return bool(os.pread(file.fileno(), 4, 1024 + 0x60)[0] & 4)


def test_a_disk_that_is_committed_is_read_by_guests_alone(tmp_path: Path) -> None:
    """Also that of a machine that was killed, which lacks nothing of what it had synced."""
    for tool in ("e2fsck", "fsck.ext4", "debugfs", "dumpe2fs", "tune2fs", "resize2fs"):
        write_program(tmp_path / "bin", tool, f'echo "$0 $*" >>{tmp_path}/asked; exit 8')
    with open_home(own_images=True) as home:
        home.env["PATH"] = f"{tmp_path}/bin:{home.env['PATH']}"
        home.text("run", "-d", "--name", "m", IMAGE)
        home.text("exec", "m", "--", "sh", "-c", "echo running >/root/who; rm -f /etc/motd; sync")
        home.text("vm", "commit", "m", "running")
        script = (
            "for i in 1 2 3; do mkdir /root/$i; echo $i >/root/$i/x; sync; done; echo killed >/root/who; sync"
        )
        home.text("exec", "m", "--", "sh", "-c", script)
        os.kill(int(home.json("vm", "show", "m")["pid"]), signal.SIGKILL)
        wait_until(lambda: home.json("vm", "show", "m")["state"] == "stopped", 20, "its end is seen")
        home.text("vm", "commit", "m", "killed")
        disks = {name: home.json("image", "show", name)["digest"] for name in ("running", "killed")}
        found = {name: needs_recovery(home.directory / f"cache/images/{d}.ext4") for name, d in disks.items()}
        assert found == {"running": False, "killed": True}
        script = "cat /root/who; cat /root/3/x 2>/dev/null; echo new >/root/new && sync && cat /root/new"
        assert home.text("run", "--rm", "running", "--", "sh", "-c", script) == "running\nnew\n"
        for kind in ("--cold", "-q"):
            assert home.text("run", "--rm", kind, "killed", "--", "sh", "-c", script) == "killed\n3\nnew\n"
        home.text("vm", "delete", "-f", "m")
    assert not (tmp_path / "asked").exists()


def test_an_image_that_a_snapshot_needs_stays(keeper: Home, name: str) -> None:
    keeper.text("run", "-d", "--name", name, IMAGE)
    keeper.text("vm", "commit", name, f"{name}-image")
    keeper.text("run", "-d", "--name", f"{name}-x", f"{name}-image")
    write(keeper, f"{name}-x", "then")
    keeper.text("vm", "snapshot", f"{name}-x", "one")
    keeper.run("rm", "-f", f"{name}-x", check=True)
    done = keeper.run("image", "delete", f"{name}-image")
    assert done.returncode == 125
    assert f"{name}-x:one".encode() in done.stderr
    keeper.text("image", "prune")
    keeper.text("vm", "restore", f"{name}-x", "one")
    assert read(keeper, f"{name}-x") == ["then", "then"]
    keeper.run("rm", "-f", f"{name}-x", check=True)
    keeper.text("snapshot", "delete", f"{name}-x", "one")
    keeper.run("image", "delete", f"{name}-image", check=True)
