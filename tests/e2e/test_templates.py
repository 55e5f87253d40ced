"""Templates: made by the first run of a shape, used by all that follow, thrown away when they are of no use."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banger.templates.frozen import sum_files
from tests.support.guests import facts, resource_owners
from tests.support.home import IMAGE, Home, alive, open_home, wait_until
from tests.support.shelter import Shelter, delete_machines, open_shelter

pytestmark = [pytest.mark.e2e]

MADE = b"booting debian-bookworm once"


@pytest.fixture(scope="module")
def shelter() -> Iterator[Shelter]:
    with open_shelter(own_templates=True, own_images=True) as opened:
        yield opened


@pytest.fixture
def own(shelter: Shelter, request: pytest.FixtureRequest) -> Iterator[Home]:
    """With templates and images of its own, and without machines of an earlier test."""
    with shelter.lend(request.node, delete_machines) as home:
        home.env["BANGER_PROGRESS"] = "plain"
        yield home


@pytest.fixture
def warm(own: Home) -> str:
    """The id of the usual template, which is there."""
    own.run("run", "--rm", IMAGE, "--", "true", check=True)
    return str(usual(own)["id"])


def usual(home: Home) -> dict[str, Any]:
    def is_usual(template: dict[str, Any]) -> bool:
        shape = template["shape"]
        words = (
            shape["cpus"],
            shape["memory_mib"],
            shape["disk_bytes"],
            template["image"],
            template["stale"],
        )
        return words == (1, 512, 4 << 30, IMAGE, "")

    templates: list[dict[str, Any]] = home.json("template", "list")
    (found,) = filter(is_usual, templates)
    return found


def ids(home: Home) -> set[str]:
    return {template["id"] for template in home.json("template", "list")}


BOOTED = {"kind": "boot"}


def clone_of(template: str) -> dict[str, str]:
    return {"kind": "template", "template": template}


def origin(home: Home, machine: str) -> dict[str, str]:
    found: dict[str, str] = home.json("vm", "show", machine)["origin"]
    return found


def restart_daemon(home: Home) -> None:
    """The next one trusts nothing that it has not looked through."""
    home.text("system", "restart")


def test_the_first_run_makes_a_template_and_the_second_is_cloned_from_it(own: Home, name: str) -> None:
    own.run("template", "prune", "--all", check=True)
    assert own.json("template", "list") == []
    first = own.run("run", "-d", "--name", f"{name}-1", IMAGE, check=True)
    assert MADE in first.stderr
    (template,) = own.json("template", "list")
    second = own.run("run", "-d", "--name", f"{name}-2", IMAGE, check=True)
    assert MADE not in second.stderr
    cold = own.run("run", "-d", "--cold", "--name", f"{name}-3", IMAGE, check=True)
    assert MADE not in cold.stderr
    clone_origin = clone_of(template["id"])
    origins = [origin(own, f"{name}-{n}") for n in (1, 2, 3)]
    assert origins == [clone_origin, clone_origin, BOOTED]
    assert ids(own) == {template["id"]}
    assert template["boot_ms"] > 100 and 10 << 20 < template["size_bytes"] < 512 << 20
    for number in (1, 2, 3):
        assert own.text("exec", f"{name}-{number}", "--", "hostname") == f"{name}-{number}\n"
    own.run("rm", "-f", *(f"{name}-{n}" for n in (1, 2, 3)), check=True)


def test_whoever_makes_a_template_leaves_nothing_else(own: Home) -> None:
    own.run("template", "prune", "--all", check=True)
    own.run("run", "--rm", IMAGE, "--", "true", check=True)
    assert own.leftovers() == []
    assert resource_owners(own) == set()
    (directory,) = (own.state / "templates").iterdir()
    names = {path.name for path in directory.iterdir() if not path.name.startswith("layer-")}
    assert names == {"memory", "devices", "root.qcow2", "meta.json"}
    assert directory.stat().st_mode & 0o777 == 0o700


def test_two_first_runs_at_once_make_one_template(own: Home) -> None:
    words = ("run", "--rm", "--memory", "320MiB", IMAGE, "--", "sh", "-c", "hostname; cat /etc/machine-id")
    before = ids(own)
    running = [own.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    ended = [process.communicate(timeout=90) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], ended
    assert len({output for output, _ in ended}) == 3
    assert len(ids(own) - before) == 1
    assert sum(MADE in errors for _, errors in ended) == 1
    assert sum(b"waiting for the template" in errors for _, errors in ended) == 2


def test_another_shape_is_another_template(own: Home, warm: str, name: str) -> None:
    before = ids(own)
    for number, words in enumerate((("--cpus", "2"), ("--memory", "256MiB")), 1):
        own.run("run", "-d", *words, "--name", f"{name}-{number}", IMAGE, check=True)
        new = ids(own) - before
        assert len(new) == number
        assert any(origin(own, f"{name}-{number}") == clone_of(i) for i in new)
    script = "nproc; grep MemTotal /proc/meminfo"
    seen = [own.text("exec", f"{name}-{n}", "--", "sh", "-c", script).splitlines() for n in (1, 2)]
    assert [lines[0] for lines in seen] == ["2", "1"]
    assert int(seen[1][1].split()[1]) < 256 * 1024 < int(seen[0][1].split()[1])
    own.run("rm", "-f", *(f"{name}-{n}" for n in (1, 2)), check=True)
    assert warm in ids(own)


def test_the_images_init_is_up_in_a_template_of_its_own(home: Home, dev: str, name: str) -> None:
    home.run("run", "-d", "--init", "image", "--memory", "768MiB", "--name", name, IMAGE, check=True)
    template = home.json("template", "show", origin(home, name)["template"])
    assert template["shape"]["init"] == "image"
    assert origin(home, name) != origin(home, dev)
    assert home.text("exec", name, "--", "cat", "/proc/1/comm") == "systemd\n"
    home.text("rm", "-f", name)


def test_a_larger_disk_is_no_other_shape(own: Home, warm: str) -> None:
    before = ids(own)
    script = (
        "df -B1 --output=size / | tail -1; cat /sys/block/vda/size; dd if=/dev/zero of=/x bs=1M count=9 2>&1"
    )
    for asked, least, most in (("6GiB", 5.5, 6.0), ("4GiB", 3.7, 4.0)):
        lines = own.text("run", "--rm", "--disk", asked, IMAGE, "--", "sh", "-c", script).splitlines()
        assert least * 2**30 < int(lines[0]) <= most * 2**30
        assert int(lines[1]) * 512 == int(most * 2**30)
    assert ids(own) == before


def test_a_smaller_disk_works_too(own: Home, warm: str) -> None:
    lines = own.text("run", "--rm", "--disk", "2GiB", IMAGE, "--", "cat", "/sys/block/vda/size").splitlines()
    assert int(lines[0]) * 512 == 2 << 30


def test_an_image_that_was_made_anew_has_another_template(own: Home, warm: str, name: str) -> None:
    image = f"{name}-image"
    own.text("run", "-d", "--name", name, IMAGE)
    own.text("exec", name, "--", "sh", "-c", "echo one > /version")
    own.text("vm", "commit", name, image)
    assert own.text("run", "--rm", image, "--", "cat", "/version") == "one\n"
    (old,) = [t for t in own.json("template", "list") if t["image"].startswith(image)]
    own.text("exec", name, "--", "sh", "-c", "echo two > /version")
    own.text("vm", "commit", name, image)
    (stale,) = [t for t in own.json("template", "list") if t["image"].startswith(image)]
    assert (old["stale"], stale["stale"]) == ("", "its image has changed or is gone")
    assert f"stale: {stale['stale']}" in own.run("template", "list", env={"COLUMNS": "200"}).stdout.decode()
    done = own.run("run", "--rm", image, "--", "cat", "/version", check=True)
    assert done.stdout == b"two\n"
    assert b"once, to start machines from this template" in done.stderr
    listed = [t for t in own.json("template", "list") if t["image"].startswith(image)]
    assert sorted(bool(t["stale"]) for t in listed) == [False, True]
    said = own.text("template", "prune", "--dry-run")
    assert "1" in said and old["id"] in ids(own)
    own.text("template", "prune")
    assert old["id"] not in ids(own)
    assert warm in ids(own)
    own.text("rm", "-f", name)


def test_templates_are_listed_shown_and_deleted(own: Home, warm: str) -> None:
    listed = own.text("template", "list")
    (row,) = [line for line in listed.splitlines() if line.startswith(warm[:12])]
    for word in (IMAGE, "512MiB", "agent", "current"):
        assert word in row
    assert own.json("template", "show", warm)["id"] == warm
    assert own.json("template", "show", warm[:8])["id"] == warm
    assert warm in own.text("template", "show", warm[:12])
    assert warm[:12] in own.text("template", "list", "-q").split()
    another = "1" if warm[12] == "0" else "0"
    for prefix in (warm[:3], "fffffffffffg", warm[:12] + another):
        done = own.run("template", "show", prefix)
        assert done.returncode == 125 and b"no template" in done.stderr, done.stderr
    own.text("template", "delete", warm[:12])
    assert warm not in ids(own)
    done = own.run("template", "delete", warm)
    assert done.returncode == 125 and b"no template" in done.stderr
    own.run("run", "--rm", IMAGE, "--", "true", check=True)
    assert "0" in own.text("template", "prune", "--dry-run")
    count = len(ids(own))
    pruned = own.json("template", "prune", "--all", "--dry-run")
    assert (pruned["count"], len(ids(own))) == (count, count)
    assert pruned["freed_bytes"] > 10 << 20
    assert own.json("template", "prune", "--all")["count"] == count
    assert ids(own) == set()
    assert list((own.state / "templates").iterdir()) == []


def test_deleting_a_template_takes_nothing_from_its_clones(own: Home, warm: str, name: str) -> None:
    own.text("run", "-d", "--name", f"{name}-1", IMAGE)
    own.text("run", "-d", "--name", f"{name}-2", IMAGE)
    own.text("exec", f"{name}-1", "--", "sh", "-c", "echo kept > /root/file")
    own.text("stop", f"{name}-2")
    own.text("template", "prune", "--all")
    read_everything = "cat /usr/bin/* 2>/dev/null | wc -c"
    assert int(own.text("exec", f"{name}-1", "--", "sh", "-c", read_everything)) > 10 << 20
    own.text("stop", f"{name}-1")
    own.text("start", f"{name}-1")
    assert own.text("exec", f"{name}-1", "--", "cat", "/root/file") == "kept\n"
    assert origin(own, f"{name}-1") == BOOTED  # its disk is its own by now
    own.text("start", f"{name}-2")
    assert facts(own, f"{name}-2")["hostname"] == f"{name}-2"
    own.run("rm", "-f", f"{name}-1", f"{name}-2", check=True)


def test_templates_can_be_switched_off(name: str) -> None:
    with open_home(config="[templates]\nenabled = false\n", own_templates=True) as plain:
        plain.text("run", "-d", "--name", name, IMAGE)
        assert origin(plain, name) == BOOTED
        assert plain.json("template", "list") == []


def flip(file: str, offset: int) -> Callable[[Path], None]:
    def damage(template: Path) -> None:
        with open(template / file, "r+b") as opened:
            opened.seek(offset)
            byte = opened.read(1)
            opened.seek(offset)
            opened.write(bytes([byte[0] ^ 0x40]))

    return damage


def cut_disk(template: Path) -> None:
    os.truncate(template / "root.qcow2", 70000)


def lose_meta(template: Path) -> None:
    (template / "meta.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [flip("memory", 20 << 20), flip("devices", 3000), cut_disk, lose_meta],
    ids=["memory", "devices", "disk", "meta"],
)
def test_a_damaged_template_is_discarded_and_made_anew(
    own: Home, warm: str, name: str, damage: Callable[[Path], None]
) -> None:
    directory = own.state / "templates" / warm
    before = usual(own)["created"]
    damage(directory)
    restart_daemon(own)
    done = own.run("run", "-d", "--name", name, IMAGE, check=True)
    assert b"a damaged template is made again" in done.stderr
    assert MADE in done.stderr
    assert origin(own, name) == clone_of(warm)
    assert usual(own)["id"] == warm and usual(own)["created"] > before
    assert own.text("exec", name, "--", "echo", "well") == "well\n"
    own.text("rm", "-f", name)
    assert own.leftovers() == []


@pytest.mark.parametrize("kept", [0, 1000, 20000])
def test_damage_that_only_a_clone_finds_makes_the_template_anew(
    own: Home, warm: str, name: str, kept: int
) -> None:
    """Its sums are right, and yet it is of no use."""
    directory = own.state / "templates" / warm
    devices = directory / "devices"
    devices.write_bytes(devices.read_bytes()[:kept])
    meta = json.loads((directory / "meta.json").read_bytes())
    meta["sums"]["devices"] = msgspec.to_builtins(sum_files(directory, ["devices"])["devices"])
    (directory / "meta.json").write_text(json.dumps(meta))
    done = own.run("run", "-d", "--name", name, IMAGE, check=True)
    assert b"does not start from its template" in done.stderr
    assert MADE in done.stderr
    assert origin(own, name) == clone_of(warm)
    assert own.text("exec", name, "--", "echo", "well") == "well\n"
    own.text("rm", "-f", name)
    assert own.leftovers() == []
    assert resource_owners(own) == set()


def test_a_stale_template_is_never_used(own: Home, warm: str, name: str) -> None:
    """One under the right name, of a machine with another processor: it is not looked for."""
    directory = own.state / "templates" / warm
    elsewhere = directory.with_name("0" * 64)
    directory.rename(elsewhere)
    (elsewhere / "meta.json").write_bytes(
        (elsewhere / "meta.json").read_bytes().replace(b'"host_cpu":"', b'"host_cpu":"another ')
    )
    done = own.run("run", "--rm", IMAGE, "--", "true", check=True)
    assert MADE in done.stderr
    assert own.json("template", "show", "0" * 64)["stale"] == "the processor has changed"
    own.text("template", "delete", "0" * 64)


def test_a_daemon_killed_while_it_makes_a_template_leaves_nothing(own: Home) -> None:
    for delay_s in (0.2, 1.0, 2.2):
        own.run("template", "prune", "--all", check=True)
        run = own.popen("run", "--rm", IMAGE, "--", "true", stderr=subprocess.PIPE)
        assert run.stderr is not None
        wait_until(lambda: own.machine_processes() or run.poll() is not None, 20, "it is being made")  # noqa: B023
        time.sleep(delay_s)
        pid = own.daemon_pid()
        os.kill(pid, signal.SIGKILL)
        run.communicate(timeout=60)
        wait_until(lambda: not alive(pid), 5, "the daemon is dead")  # noqa: B023
        wait_until(lambda: own.json("vm", "list") == [], 20, "the half-started machine is removed")
        wait_until(lambda: own.leftovers() == [], 5, "nothing is left")
        assert resource_owners(own) == set()
    assert own.run("run", "--rm", IMAGE, "--", "echo", "well", check=True).stdout == b"well\n"


def test_no_room_for_a_template_is_said_and_the_machine_boots(own_home: Home, name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: mounting a small file system needs root")
    templates = own_home.state / "templates"
    templates.unlink()
    templates.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", templates], check=True)
    try:
        done = own_home.run("run", "-d", "--name", name, IMAGE, check=True)
        assert b"does not start from its template" in done.stderr
        assert b"free" in done.stderr
        assert origin(own_home, name) == BOOTED
        assert list(templates.iterdir()) == []
        own_home.text("rm", "-f", name)
        again = own_home.run("run", "--rm", IMAGE, "--", "echo", "well", check=True)
        assert again.stdout == b"well\n"
        own_home.text("system", "stop")
    finally:
        subprocess.run(["umount", templates], check=True)


def test_templates_on_another_file_system_are_copied(own_home: Home, name: str) -> None:
    """There are no hard links between two."""
    if os.geteuid() != 0:
        pytest.skip("capability missing: mounting a file system needs root")
    templates = own_home.state / "templates"
    templates.unlink()
    templates.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m,mode=700", "tmpfs", templates], check=True)
    try:
        for number in (1, 2):
            own_home.run("run", "-d", "--name", f"{name}-{number}", IMAGE, check=True)
            assert origin(own_home, f"{name}-{number}")["kind"] == "template"
            assert own_home.text("exec", f"{name}-{number}", "--", "echo", "well") == "well\n"
        own_home.run("rm", "-f", f"{name}-1", f"{name}-2", check=True)
        own_home.text("system", "stop")
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", templates], check=True)
