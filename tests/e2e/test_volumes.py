"""Named volumes with real machines: who may have one, what stays when something is killed, what goes when told to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import Client
from banger.model.volume import VolumeMount
from tests.support.guests import resource_owners
from tests.support.home import IMAGE, Home, alive, open_home, wait_until
from tests.support.shelter import delete_machines

pytestmark = [pytest.mark.e2e]
SLEEP = ("sleep", "infinity")


@pytest.fixture(scope="module")
def opened() -> Iterator[Home]:
    with open_home() as home:
        yield home


@pytest.fixture
def home(opened: Home) -> Iterator[Home]:
    yield opened
    delete_machines(opened)
    opened.text("volume", "prune", "-f")
    assert opened.json("volume", "list") == []
    assert list((opened.state / "volumes").glob("*")) == []
    assert resource_owners(opened) == set()


def run(home: Home, *words: str) -> str:
    """A machine that runs a script, and goes."""
    *options, script = words
    return home.text("run", "--rm", *options, IMAGE, "--", "sh", "-c", script)


def keep(home: Home, name: str, *options: str) -> None:
    home.text("run", "-d", "--name", name, *options, IMAGE, "--", *SLEEP)


def sh(home: Home, machine: str, script: str) -> str:
    return home.text("exec", machine, "--", "sh", "-c", script)


def refused(home: Home, *words: str) -> dict[str, Any]:
    """The error of a command that has to fail."""
    done = home.run(*words, "--json") if words[0] != "run" else home.run("run", "--json", *words[1:])
    assert done.returncode != 0, done.stdout
    lines = done.stderr.decode().splitlines()
    error: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    inner: dict[str, Any] = error.get("error", error)
    return inner


def disk_of(home: Home, volume: str) -> Path:
    return home.state / "volumes" / str(home.json("volume", "show", volume)["id"]) / "disk.ext4"


def head_of(home: Home, volume: str) -> bytes:
    with open(disk_of(home, volume), "rb") as disk:
        return disk.read(1 << 20)


def vmm_of(home: Home, machine: str) -> int:
    return int(home.json("vm", "show", machine)["pid"])


def test_what_one_machine_wrote_another_reads_after_it(home: Home) -> None:
    run(home, "-v", "data:/data", "echo first >/data/file && mkdir /data/a && ln -s ../file /data/a/link")
    assert run(home, "-v", "data:/srv/other", "cat /srv/other/a/link; ls -A /srv/other") == "first\na\nfile\n"
    shown = home.json("volume", "show", "data")
    assert (shown["name"], shown["users"], shown["made"]) == ("data", [], True)
    assert 0 < shown["used_bytes"] < 64 << 20 < shown["size_bytes"]
    assert home.text("volume", "ls", "-q") == "data\n"


def test_a_stopped_machine_gets_its_volume_again(home: Home) -> None:
    keep(home, "one", "-v", "data:/data")
    sh(home, "one", "echo kept >/data/file")
    home.text("stop", "one")
    assert home.json("volume", "show", "data")["users"] == [
        {"machine": "one", "target": "/data", "read_only": False, "attached": False}
    ]
    home.text("start", "one")
    assert sh(home, "one", "cat /data/file; findmnt -no FSTYPE /data") == "kept\next4\n"
    assert home.json("volume", "show", "data")["users"][0]["attached"]


def test_one_machine_writes_or_several_read(home: Home) -> None:
    keep(home, "writer", "-v", "data:/data")
    sh(home, "writer", "echo from the writer >/data/file")
    for options in ("data:/data", "data:/data:ro"):
        error = refused(home, "run", "--rm", "-v", options, IMAGE, "--", "true")
        assert error["code"] == "in_use" and error["details"]["machine"] == "writer"
        assert "banger vm stop writer" in error["hint"]
    home.text("stop", "writer")
    for name in ("reader-1", "reader-2"):
        keep(home, name, "--mount", "type=volume,source=data,target=/data,readonly")
        assert sh(home, name, "cat /data/file") == "from the writer\n"
        done = home.run("exec", name, "--", "touch", "/data/new")
        assert done.returncode != 0 and b"Read-only" in done.stderr
    assert refused(home, "start", "writer")["code"] == "in_use"
    # Root of a reader can write to the device: to a layer of its own.
    before = head_of(home, "data")
    sh(
        home,
        "reader-1",
        "dd if=/dev/urandom of=$(findmnt -no SOURCE /data) bs=64k count=1 seek=2 conv=notrunc; sync",
    )
    assert head_of(home, "data") == before
    home.text("rm", "-f", "reader-1", "reader-2")
    home.text("start", "writer")
    assert sh(home, "writer", "cat /data/file") == "from the writer\n"


def test_what_was_synced_outlives_a_killed_vmm(home: Home) -> None:
    keep(home, "one", "-v", "data:/data")
    sh(home, "one", "echo synced >/data/file && sync /data/file && sync /data && echo late >/data/late")
    os.kill(vmm_of(home, "one"), signal.SIGKILL)
    home.text("wait", "one")
    assert run(home, "-v", "data:/data:ro", "cat /data/file") == "synced\n", (
        "a reader replays the journal, too"
    )
    assert run(home, "-v", "data:/data", "cat /data/file") == "synced\n"


def test_a_killed_daemon_neither_ends_nor_doubles_a_use(home: Home) -> None:
    keep(home, "one", "-v", "data:/data")
    os.kill(home.daemon_pid(), signal.SIGKILL)
    assert refused(home, "run", "--rm", "-v", "data:/data", IMAGE, "--", "true")["code"] == "in_use"
    sh(home, "one", "echo after the daemon >/data/file")
    assert refused(home, "volume", "delete", "data")["code"] == "in_use"
    home.text("rm", "-f", "one")
    assert run(home, "-v", "data:/data", "cat /data/file") == "after the daemon\n"


def test_daemon_and_vmm_are_killed_at_once(home: Home) -> None:
    keep(home, "one", "-v", "data:/data")
    sh(home, "one", "echo synced >/data/file && sync")
    vmm = vmm_of(home, "one")
    os.kill(home.daemon_pid(), signal.SIGKILL)
    os.kill(vmm, signal.SIGKILL)
    wait_until(lambda: not alive(vmm), 20, "the VMM is gone")
    assert run(home, "-v", "data:/data", "cat /data/file") == "synced\n"


@pytest.mark.parametrize("after_s", [0.15, 0.4, 0.8, 1.3])
def test_a_daemon_that_is_killed_amid_a_start_leaves_a_volume_that_works(home: Home, after_s: float) -> None:
    begun = home.popen("run", "-d", "--name", "one", "-v", "data:/data", IMAGE, "--", *SLEEP)
    pid = home.daemon_pid()
    with contextlib.suppress(subprocess.TimeoutExpired):
        begun.wait(timeout=after_s)
    os.kill(pid, signal.SIGKILL)
    begun.wait(timeout=60)
    home.run("rm", "-f", "one")
    assert run(home, "-v", "data:/data", "echo works >/data/file && cat /data/file") == "works\n"


def test_a_full_volume_is_full_and_freed_blocks_go_back_to_the_host(home: Home) -> None:
    home.text("volume", "create", "--size", "64MiB", "--label", "team=shop", "small")
    keep(home, "one", "-v", "small:/data")
    done = home.run("exec", "one", "--", "dd", "if=/dev/urandom", "of=/data/large", "bs=1M")
    assert done.returncode != 0 and b"No space left" in done.stderr
    sh(home, "one", "sync")
    full = home.json("volume", "show", "small")
    assert 40 << 20 < full["used_bytes"] <= 65 << 20 and full["labels"] == {"team": "shop"}
    sh(home, "one", "rm /data/large && sync && fstrim /data")
    wait_until(
        lambda: home.json("volume", "show", "small")["used_bytes"] < 20 << 20, 20, "its blocks are holes"
    )
    assert sh(home, "one", "echo again >/data/file && cat /data/file") == "again\n"


def test_an_empty_volume_gets_what_the_image_has_there(home: Home) -> None:
    script = "cat /etc/apt/sources.list.d/* >/dev/null 2>&1; ls -A /etc/apt | head -3; stat -c %a:%u /var/tmp"
    plain = run(home, script)
    assert run(home, "-v", "apt:/etc/apt", "-v", "tmp:/var/tmp", script) == plain
    assert run(home, "-v", "apt:/data", "ls -A /data | head -3") == "".join(
        plain.splitlines(keepends=True)[:3]
    )
    run(home, "-v", "apt:/etc/apt", "rm -r /etc/apt/* && echo mine >/etc/apt/mine")
    assert run(home, "-v", "apt:/etc/apt", "ls -A /etc/apt") == "mine\n", "it is copied once"
    assert run(home, "-v", "bare:/etc/apt:nocopy", "ls -A /etc/apt") == ""


def test_a_volume_that_a_machine_has_is_not_deleted(home: Home) -> None:
    home.text("create", "--name", "one", "-v", "data:/data", IMAGE)
    home.text("volume", "create", "idle")
    error = refused(home, "volume", "rm", "data")
    assert error["code"] == "in_use" and error["details"]["machines"] == ["one"]
    assert [one["name"] for one in home.json("volume", "prune", "--dry-run")] == ["idle"]
    assert "idle" in home.text("system", "prune", "--dry-run", "--volumes")
    assert "idle" not in home.text("system", "prune", "--dry-run")
    home.text("rm", "one")
    assert home.text("volume", "rm", "data", "idle") == "data\nidle\n"
    assert refused(home, "volume", "rm", "data")["code"] == "volume_not_found"
    home.text("volume", "rm", "-f", "data")
    assert refused(home, "volume", "show", "data")["code"] == "volume_not_found"


def test_a_volume_travels_and_is_copied(home: Home, tmp_path: Path) -> None:
    run(
        home,
        "-v",
        "data:/data",
        "head -c 3000000 /dev/urandom >/data/random; sha256sum </data/random >/data/sum",
    )
    file = tmp_path / "data.volume"
    home.text("volume", "export", "data", str(file))
    assert 3_000_000 < file.stat().st_size < 8_000_000
    assert home.text("volume", "import", "--name", "again", str(file)) == "again\n"
    home.text("volume", "create", "--from", "data", "copy")
    for name in ("again", "copy"):
        run(
            home,
            "-v",
            f"{name}:/data",
            "sha256sum </data/random | cmp - /data/sum && echo changed >/data/sum",
        )
    run(home, "-v", "data:/data", "sha256sum </data/random | cmp - /data/sum")
    assert refused(home, "volume", "import", str(file))["code"] == "name_taken"
    file.write_bytes(file.read_bytes()[:-1000])
    assert refused(home, "volume", "import", "--name", "cut", str(file))["code"] == "volume_invalid"
    keep(home, "one", "-v", "data:/data")
    assert refused(home, "volume", "export", "data", str(file))["code"] == "in_use"
    assert refused(home, "volume", "create", "--from", "data", "third")["code"] == "in_use"


def test_a_machine_with_a_volume_is_copied_by_its_disk_alone(home: Home) -> None:
    keep(home, "one", "-v", "data:/data")
    sh(home, "one", "echo in the volume >/data/file; echo on the disk >/root/file")
    for words in (("snapshot", "one", "tag"), ("fork", "one")):
        error = refused(home, *words)
        assert error["code"] == "unsupported" and "data" in error["message"] and "commit" in error["hint"]
    home.text("commit", "one", "mine")
    try:
        assert (
            home.text("run", "--rm", "mine", "--", "sh", "-c", "cat /root/file; ls -A /data")
            == "on the disk\n"
        )
    finally:
        home.text("rm", "-f", "one")
        home.text("rmi", "mine")


def test_several_volumes_and_a_directory_lie_in_one_another(home: Home, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main").write_text("source")
    options = [
        "-v",
        f"{tmp_path}/app:/app",
        "-v",
        "modules:/app/modules",
        "-v",
        "inner:/srv/deep/er",
        "-v",
        "outer:/srv",
    ]
    script = "echo m >/app/modules/m; echo i >/srv/deep/er/i; echo o >/srv/o; cat /app/main /app/modules/m"
    assert run(home, *options, script) == "sourcem\n"
    assert os.listdir(tmp_path / "app/modules") == []
    assert run(home, "-v", "outer:/a", "-v", "inner:/b", "cat /a/o /b/i; ls /a/deep/er") == "o\ni\n"
    error = refused(home, "run", "--rm", "-v", "one:/a", "-v", "two:/a/", IMAGE, "--", "true")
    assert error["code"] == "bad_spec"


def test_a_file_system_that_a_guest_destroyed_hurts_that_volume_alone(home: Home) -> None:
    run(
        home, "-v", "data:/data", "dd if=/dev/urandom of=$(findmnt -no SOURCE /data) bs=1M count=8 conv=fsync"
    )
    error = refused(home, "run", "--rm", "-v", "data:/data", IMAGE, "--", "true")
    assert error["code"] == "agent_error" and "ext4" in error["message"]
    assert run(home, "-v", "other:/data", "echo fine") == "fine\n"
    home.text("volume", "rm", "data")


def test_a_lost_disk_is_said_and_not_made_again(home: Home) -> None:
    run(home, "-v", "data:/data", "true")
    disk = disk_of(home, "data")
    aside = disk.with_suffix(".aside")
    disk.rename(aside)
    error = refused(home, "run", "--rm", "-v", "data:/data", IMAGE, "--", "true")
    assert error["code"] == "volume_invalid" and str(disk) in error["message"]
    aside.rename(disk)
    run(home, "-v", "data:/data", "true")


def test_a_compose_file_has_volumes(home: Home, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"""services:
  db:
    image: {IMAGE}
    command: sleep infinity
    volumes: [data:/var/lib/data]
volumes:
  data:
    driver_opts: {{size: 128m}}
"""
    )
    words = ["--file", str(tmp_path / "compose.yaml"), "--project", "shop"]
    home.text("compose", "up", *words, "-d")
    home.text("compose", "exec", *words, "db", "sh", "-c", "echo kept >/var/lib/data/file")
    home.text("compose", "down", *words)
    shown = home.json("volume", "show", "shop_data")
    assert shown["size_bytes"] == 128 << 20 and shown["labels"] == {"banger.project": "shop"}
    home.text("compose", "up", *words, "-d")
    assert home.text("compose", "exec", *words, "db", "cat", "/var/lib/data/file") == "kept\n"
    home.text("compose", "down", "-v", *words)
    assert home.json("volume", "list") == []


def test_python_has_volumes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANGER_HOME", home.env["BANGER_HOME"])
    client = Client()
    client.volumes.create("data", size_bytes=64 << 20)
    wanted: list[Any] = [VolumeMount(volume="data", target="/data"), {"volume": "more", "target": "/more"}]
    for script in ("echo from python >/data/file", "cat /data/file"):
        with client.run(IMAGE, volumes=wanted) as vm:
            said = vm.exec(script, shell=True, check=True).stdout
    assert said == "from python\n"
    file = b"".join(client.volumes.export("data"))
    assert client.volumes.import_file([file], "again").size_bytes == 64 << 20
    assert client.volumes.create("copy", copy_of="data").size_bytes == 64 << 20
    assert [volume.name for volume in client.volumes.list()] == ["again", "copy", "data", "more"]


def test_a_clone_in_waiting_gets_a_volume() -> None:
    with open_home(pool=1) as home:
        keep(home, "first", "-v", "data:/data")
        sh(home, "first", "echo kept >/data/file")
        home.text("stop", "first")
        wait_until(lambda: any(one["ready"] for one in home.json("template", "list")), 60, "a clone waits")
        keep(home, "second", "-v", "data:/data")
        assert "taken from the pool" in (home.files_of("second") / "vmm.log").read_text()
        assert sh(home, "second", "cat /data/file") == "kept\n"
        shown = home.json("volume", "show", "data")
        assert [(one["machine"], one["attached"]) for one in shown["users"]] == [
            ("first", False),
            ("second", True),
        ]
