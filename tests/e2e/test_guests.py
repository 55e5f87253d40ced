"""Guests of every kind: the image's own init, and images with nothing in them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from banger.agent.binary import agent_binary
from banger.host import cpu
from tests.support.home import IMAGE, Home, open_home

pytestmark = pytest.mark.e2e


def test_systemd_of_the_image_is_pid_1_and_runs(home: Home, name: str) -> None:
    words = ("run", "-d", "--init", "image", "--name", name, "--memory", "768MiB", IMAGE)
    home.text(*words, "--", "sleep", "600")
    script = "cat /proc/1/comm; systemctl is-system-running; systemctl --failed --no-legend; hostname"
    comm, state, *failed, hostname = home.text("exec", name, "--", "sh", "-c", script).splitlines()
    assert (comm, state, failed, hostname) == ("systemd", "running", [], name)
    health = home.json("vm", "health", name)
    assert health["init"]["ok"] and "systemd" in health["init"]["message"]
    home.text("stop", name)
    shown = home.json("vm", "show", name)
    assert (shown["state"], shown["reason"]) == ("stopped", "stopped as asked")
    assert "reboot: Power down" in home.text("logs", "--console", name)
    home.text("rm", name)


def test_a_machine_keeps_its_id_over_stop_and_start(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    first = home.text("exec", name, "--", "cat", "/etc/machine-id")
    home.text("stop", name)
    home.text("start", name)
    assert home.text("exec", name, "--", "cat", "/etc/machine-id") == first
    home.text("rm", "-f", name)


def test_the_journal_of_a_copy_goes_by_the_copys_id(home: Home, name: str) -> None:
    """In each of them, a clone and its child, a journald ran that knew another id."""
    home.text(
        "run", "-d", "--init", "image", "--name", name, "--memory", "768MiB", IMAGE, "--", "sleep", "600"
    )
    note = (
        "logger note-of-$(hostname); until journalctl --sync 2>/dev/null; do sleep 0.2; done; "
        "cat /etc/machine-id; journalctl -b -o cat | grep note-of-"
    )
    machine_id, *notes = home.text("exec", name, "--", "sh", "-c", note).splitlines()
    assert notes == [f"note-of-{name}"]
    home.text("vm", "fork", name, "--name", name + "-child")
    child = name + "-child-1"
    id_of_child, *notes = home.text("exec", child, "--", "sh", "-c", note).splitlines()
    assert notes == [f"note-of-{child}"] and id_of_child != machine_id
    assert home.text("exec", child, "--", "systemctl", "--failed", "--no-legend") == ""
    home.text("rm", "-f", name, child)


def test_an_image_with_one_static_binary_and_nothing_else(home: Home, tmp_path: Path) -> None:
    """No shell, no libc, no directories: a static program that prints its version."""
    tree = tmp_path / "tree"
    tree.mkdir()
    shutil.copy(agent_binary(cpu.architecture()), tree / "program")
    home.text("image", "pull", f"rootfs:single={tree}")
    done = home.run("run", "--rm", "single", "--", "/program", "--version", check=True)
    assert done.stdout.strip()
    missing = home.run("run", "--rm", "single", "--", "/bin/sh")
    assert missing.returncode == 127
    home.text("image", "delete", "single")
    assert "single" not in home.text("image", "list")


def test_an_image_in_use_is_not_deleted(home: Home, dev: str) -> None:
    done = home.run("image", "delete", IMAGE)
    assert done.returncode == 125
    assert dev in done.stderr.decode()
    assert home.run("exec", dev, "--", "true").returncode == 0


def test_a_guest_has_its_modules_and_can_load_more(home: Home, dev: str) -> None:
    script = (
        "modprobe overlay && grep -w overlay /proc/filesystems && test -d /lib/modules/$(uname -r)/kernel"
    )
    assert "overlay" in home.text("exec", dev, "--", "sh", "-c", script)


# A file system, a kind of link that needs more than ten other modules, a protocol; devices that are there before
# their modules, and for an ordinary user.
USES_OF_MODULES = """
mkdir -p /o/l /o/u /o/w /o/m && mount -t overlay overlay -o lowerdir=/o/l,upperdir=/o/u,workdir=/o/w /o/m
ip link add wg0 type wireguard && ip link add br0 type bridge && ip link add va type veth peer name vb
losetup -f
setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'exec 3<>/dev/net/tun && exec 4<>/dev/fuse'
"""


@pytest.mark.parametrize("init", ["agent", "image"])
def test_modules_are_loaded_where_the_image_has_no_modprobe(home: Home, name: str, init: str) -> None:
    home.text("run", "-d", "--init", init, "--name", name, "--memory", "768MiB", IMAGE, "--", "sleep", "600")
    home.text(
        "exec", name, "--", "sh", "-c", "rm $(readlink -f /sbin/modprobe) /sbin/modprobe; ! which modprobe"
    )
    home.text("exec", name, "--", "sh", "-ec", USES_OF_MODULES)
    elsewhere = (
        "umount -l /lib/modules/$(uname -r) && ip link add vx0 type vxlan id 1 dstport 1 remote 192.0.2.1"
    )
    home.text("exec", name, "--", "sh", "-ec", elsewhere)
    odd = "mount -t ../../../../tmp/x none /mnt 2>/dev/null; dmesg --level=err | grep -c modprobe"
    assert home.run("exec", name, "--", "sh", "-c", odd).stdout == b"0\n"
    home.text("rm", "-f", name)


def test_a_guest_reaches_the_package_archive_by_the_hosts_network(home: Home, dev: str) -> None:
    """The default route, the resolver and the source list that came with the image are there."""
    script = "ip route | grep default; cat /etc/resolv.conf; grep -h Suites: /etc/apt/sources.list.d/*"
    text = home.text("exec", dev, "--", "sh", "-c", script)
    on_tap = home.json("vm", "show", dev)["network"]["link"] == "tap"
    assert f"via {'10.213.0.1' if on_tap else '10.0.2.2'} " in text
    assert f"nameserver {'10.213.0.1' if on_tap else '10.0.2.3'}\n" in text
    assert "bookworm-security" in text


def test_a_root_that_cannot_grow_is_said_where_people_look(name: str, tmp_path: Path) -> None:
    """The kernel grows no file system with `sparse_super2`; the same disk without it grows, and nothing is said. Images
    are the home's own: another home that shares them would sweep what is registered just now."""
    with open_home(own_images=True) as home:
        _say_what_does_not_grow(home, name, tmp_path)


def _say_what_does_not_grow(home: Home, name: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    shutil.copy(agent_binary(cpu.architecture()), tmp_path / "tree/program")
    words = "did not grow to 2GiB"
    for feature, said in (("sparse_super2,^resize_inode", True), ("resize_inode", False)):
        disk = tmp_path / f"{said}.ext4"
        argv = ["mke2fs", "-q", "-t", "ext4", "-O", feature, "-d", str(tmp_path / "tree"), str(disk), "32M"]
        subprocess.run(argv, check=True)
        machine = f"{name}-{said}".lower()
        home.text("image", "register", "--rootfs", str(disk), "--name", name)
        done = home.run("run", "--name", machine, "--disk", "2GiB", name, "--", "/program", "--version")
        assert done.returncode == 0 and done.stdout
        shown = home.text("vm", "show", machine)
        told = home.text("events", "--machine", machine)
        assert [words in text for text in (done.stderr.decode(), shown, told)] == [said] * 3
        home.text("rm", "-f", machine)
        home.text("image", "delete", name)


_ADDRESS = "sed -n 's/-.*\\[stack\\]//p' /proc/self/maps; cat /proc/sys/kernel/randomize_va_space"


@pytest.mark.parametrize("how", [(), ("--cold",)], ids=["clone", "boot"])
@pytest.mark.parametrize("wish", ["auto", "on", "off"])
def test_programs_have_random_addresses_as_the_user_wishes(
    home: Home, name: str, wish: str, how: tuple[str, ...]
) -> None:
    home.text("run", "-d", "--name", name, "--aslr", wish, *how, IMAGE)
    has = home.json("vm", "show", name)["aslr"]
    assert has in ("on", "off") if wish == "auto" else has == wish
    stacks, settings = set(), set()
    for _ in range(3):
        stack, setting = home.text("exec", name, "--", "sh", "-c", _ADDRESS).split()
        stacks.add(stack)
        settings.add(setting)
    assert settings == {"2" if has == "on" else "0"}
    assert (len(stacks) > 1) is (has == "on")
    home.text("rm", "-f", name)
