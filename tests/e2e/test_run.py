"""`banger vm run`: from an image to a command in a machine, and back to nothing."""

from __future__ import annotations

import re

import pytest

from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e


def test_the_main_job_prints_the_guests_uname_and_leaves_nothing(home: Home, name: str) -> None:
    done = home.run("vm", "run", "--rm", "--timings", "--name", name, IMAGE, "--", "uname", "-a", check=True)
    assert done.stdout.startswith(b"Linux " + name.encode())
    for phase in (b"identity", b"exec", b"teardown", b"total"):
        assert phase in done.stderr
    assert name not in home.text("vm", "list")
    assert not [path for path in home.leftovers() if name in path]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 37", 37), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_commands_end_is_ours(home: Home, script: str, code: int) -> None:
    assert home.run("run", "--rm", IMAGE, "--", "sh", "-c", script).returncode == code


def test_output_and_errors_stay_apart(home: Home) -> None:
    done = home.run("run", "--rm", IMAGE, "--", "sh", "-c", "echo out; echo err >&2")
    assert done.stdout == b"out\n"
    assert b"err\n" in done.stderr


def test_environment_directory_and_user_are_as_asked(home: Home) -> None:
    script = "pwd; id -u; echo $A-$B-$C; echo $HOME"
    words = ("run", "--rm", "-e", "A=1", "-e", "B", "-e", "C", "-w", "/usr", "-u", "daemon", IMAGE)
    done = home.run(*words, "--", "sh", "-c", script, check=True, env={"B": "two words"})
    assert done.stdout.decode().splitlines() == ["/usr", "1", "1-two words-", "/usr/sbin"]


def test_a_shell_reads_a_piped_script(home: Home) -> None:
    done = home.run("run", "--rm", "-i", IMAGE, stdin=b"echo from $0; exit 6\n")
    assert done.returncode == 6
    assert done.stdout.startswith(b"from ")


def test_shape_is_as_asked(home: Home) -> None:
    script = "nproc; grep MemTotal /proc/meminfo; df -B1 --output=size / | tail -1"
    words = ("run", "--rm", "--cpus", "2", "--memory", "768MiB", "--disk", "6GiB", IMAGE)
    nproc, memory, disk = home.text(*words, "--", "sh", "-c", script).splitlines()
    assert nproc == "2"
    assert 650_000 < int(memory.split()[1]) < 786_432
    assert 5.5 * 2**30 < int(disk) < 6 * 2**30


def test_a_detached_run_stays_and_its_output_is_kept(home: Home, name: str) -> None:
    script = "echo begun; echo error >&2; sleep 1; echo done; exit 4"
    assert home.text("run", "-d", "--name", name, IMAGE, "--", "sh", "-c", script).strip() == name
    assert home.json("vm", "show", name)["state"] == "running"
    assert home.text("vm", "wait", name).strip() == "4"
    shown = home.json("vm", "show", name)
    assert (shown["state"], shown["exit"]["code"], shown["pid"]) == ("stopped", 4, 0)
    assert set(home.text("logs", name).splitlines()) == {"begun", "error", "done"}
    assert home.text("logs", "--exec", name) == home.text("logs", "-n", "all", name)
    assert home.text("logs", "-n", "1", name) == "done\n"
    assert "begun" not in home.text("logs", "--console", name)
    home.run("rm", name, check=True)


def test_a_stopped_machine_starts_again_with_its_disk(home: Home, name: str) -> None:
    home.text("vm", "create", "--name", name, IMAGE)
    assert home.json("vm", "show", name)["state"] == "created"
    home.text("start", name)
    first = home.text(
        "exec", name, "--", "sh", "-c", "echo kept > /root/file; cat /proc/sys/kernel/random/boot_id"
    )
    home.text("stop", name)
    home.text("start", name)
    second = home.text("exec", name, "--", "sh", "-c", "cat /root/file /proc/sys/kernel/random/boot_id")
    assert second.splitlines()[0] == "kept"
    assert second.splitlines()[1] != first.strip()
    home.text("vm", "restart", name)
    assert home.text("exec", name, "--", "cat", "/root/file") == "kept\n"
    home.text("rm", "-f", name)


def test_a_timeout_ends_the_command_with_124(home: Home) -> None:
    done = home.run("run", "--rm", "--timeout", "1s", IMAGE, "--", "sh", "-c", "sleep 600 & sleep 600")
    assert done.returncode == 124


def test_the_accelerator_is_told_everywhere(home: Home, dev: str) -> None:
    shown = home.json("vm", "show", dev)
    assert shown["accel"] in ("kvm", "tcg")
    assert shown["spec"]["accel"] == "auto"
    (listed,) = [m for m in home.json("vm", "list") if m["name"] == dev]
    assert listed["accel"] == shown["accel"]
    (line,) = [text for text in home.text("ps").splitlines() if text.startswith(dev)]
    assert shown["accel"] in line


def test_the_network_reaches_the_hosts_resolver_and_the_guest_knows_its_name(home: Home, dev: str) -> None:
    script = "hostname; getent hosts $(hostname); cat /etc/machine-id; ip -4 -o addr show eth0"
    name, own, machine_id, address = home.text("exec", dev, "--", "sh", "-c", script).splitlines()
    assert name == dev
    assert dev in own
    assert len(machine_id) == 32
    on_nat = home.json("system", "info")["no_taps"]
    assert re.search(r"inet 10\.0\.2\.\d+/24 " if on_nat else r"inet 10\.213\.\d+\.\d+/32 ", address)
