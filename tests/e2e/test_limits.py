"""Limits hold, or are refused; a machine that finds the disk of its host full is halted until there is room."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.host.delegation import delegation
from banger.host.fs import free_bytes
from banger.model.sizes import MIB
from tests.support.guests import cpu_ticks
from tests.support.home import IMAGE, Home, alive, open_home, wait_until

pytestmark = pytest.mark.e2e

needs_groups = pytest.mark.skipif(
    bool(delegation().missing), reason=f"capability missing: writable control groups: {delegation().missing}"
)
needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="capability missing: mounting needs root")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def vmm_pid(home: Home, machine: str) -> int:
    return int(home.json("vm", "show", machine)["pid"])


def group_of(pid: int, controller: str) -> Path:
    """Where the kernel says that it is."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") or not names:
            base = delegation().bases[controller]
            return base / path.lstrip("/") if base.name != path.lstrip("/") else base
    raise AssertionError(f"{pid} is in no group of {controller}")


def limit_of(group: Path) -> int:
    """Of memory, in bytes."""
    names = ("memory.max", "memory.limit_in_bytes")
    return int(next(group / name for name in names if (group / name).exists()).read_text())


def end_daemon(home: Home, signo: int = signal.SIGKILL) -> None:
    pid = home.daemon_pid()
    os.kill(pid, signo)
    wait_until(lambda: not alive(pid), 15, "the daemon ends")


def sh(home: Home, machine: str, script: str, **options: Any) -> str:
    return home.text("exec", machine, "--", "sh", "-c", script, **options)


@needs_groups
def test_a_vmm_has_a_group_of_its_own_while_it_lives(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "cold", "--cold", "--memory", "256MiB", IMAGE)
    own_home.text("run", "-d", "--name", "clone", IMAGE)
    own_home.text("vm", "fork", "clone", "--name", "child")
    groups = {}
    for name, guest_mib in (("cold", 256), ("clone", 512), ("child-1", 512)):
        pid = vmm_pid(own_home, name)
        groups[name] = group_of(pid, "memory")
        assert (groups[name] / "cgroup.procs").read_text().split() == [str(pid)]
        assert guest_mib * MIB < limit_of(groups[name]) <= (guest_mib + 384) * MIB
        assert set(own_home.json("vm", "show", name)["limits"]) == {"memory", "cpu", "pids"}
    assert len(set(groups.values())) == 3
    own_home.text("vm", "stop", "cold")
    own_home.text("vm", "kill", "clone")
    assert not groups["cold"].exists() and not groups["clone"].exists()
    assert groups["child-1"].exists()
    own_home.text("vm", "start", "cold")
    assert group_of(vmm_pid(own_home, "cold"), "memory").name.startswith("banger-")


@needs_groups
def test_a_clone_that_waited_brings_its_group_and_takes_the_limits_of_its_machine() -> None:
    with open_home(pool=1) as home:
        home.text("run", "--rm", IMAGE, "--", "true")
        wait_until(lambda: any(t["ready"] for t in home.json("template", "list")), 30, "a clone waits")
        home.text("run", "-d", "--name", "m", "--memory-limit", "600MiB", "--io-limit", "50MiB", IMAGE)
        group = group_of(vmm_pid(home, "m"), "memory")
        assert "-pool-" in group.name
        assert limit_of(group) == 600 * MIB
        assert home.json("vm", "show", "m")["limits"]["io"].endswith("50MiB/s")
        home.text("vm", "delete", "-f", "m")
        assert not group.exists()


@needs_groups
def test_a_busy_machine_gets_the_processor_time_it_may_have(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, "--cpu-limit", "0.25", IMAGE)
    pid = vmm_pid(home, name)
    home.text("exec", "-d", name, "--", "sh", "-c", "while :; do :; done")
    time.sleep(1)
    before, begun = cpu_ticks(pid), time.monotonic()
    time.sleep(4)
    used_s, passed_s = (cpu_ticks(pid) - before) / TICKS_PER_S, time.monotonic() - begun
    assert used_s < 0.25 * passed_s * 1.15 + 0.1
    assert "0.25 processors" in home.text("vm", "show", name)
    home.text("vm", "delete", "-f", name)


@needs_groups
def test_a_vmm_that_reaches_its_memory_limit_ends_and_the_reason_is_told(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, "--memory-limit", "256MiB", IMAGE)
    group = group_of(vmm_pid(home, name), "memory")
    home.run("exec", name, "--", "sh", "-c", "head -c 400M /dev/urandom > /dev/shm/x")
    wait_until(lambda: home.json("vm", "show", name)["state"] == "stopped", 60, "the VMM was killed")
    reason = home.json("vm", "show", name)["reason"]
    assert reason == "the host's kernel killed the VMM: it reached its memory limit of 256MiB"
    assert not group.exists()
    home.text("vm", "start", name)
    assert sh(home, name, "echo again") == "again\n"
    home.text("vm", "delete", "-f", name)


@needs_groups
def test_a_vmm_that_reached_its_memory_limit_while_no_daemon_ran_is_told_of(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "m", "--memory-limit", "256MiB", IMAGE)
    pid = vmm_pid(own_home, "m")
    fill = "sleep 2; head -c 400M /dev/urandom > /dev/shm/x"
    own_home.text("exec", "-d", "m", "--", "sh", "-c", fill)
    end_daemon(own_home)
    wait_until(lambda: not alive(pid), 60, "the VMM was killed")
    wait_until(lambda: own_home.json("vm", "show", "m")["state"] == "stopped", 10, "that is seen")
    assert own_home.json("vm", "show", "m")["reason"].endswith("it reached its memory limit of 256MiB")


OOM_KILLED = "its command ended with 137: OOM-killed in the guest"


@pytest.mark.parametrize("options", [("--cold",), ()])
def test_a_command_that_needs_more_memory_than_its_guest_has_is_killed_and_the_reason_is_told(
    home: Home, name: str, options: tuple[str, ...]
) -> None:
    small = ("--memory", "128MiB", *options)
    assert home.run("run", "--name", name, *small, IMAGE, "--", "tail", "/dev/zero").returncode == 137
    assert home.json("vm", "show", name)["reason"] == OOM_KILLED
    *_, told, stopping, stopped = home.text("events", "--machine", name).splitlines()
    assert "(tail) for lack of memory" in told
    assert "machine.stopping" in stopping and OOM_KILLED in stopped


def run_until_it_starves(home: Home, *kind: str) -> Path:
    """Two seconds later its command takes all memory that there is. Its console."""
    hungry = "until [ -e /root/go ]; do sleep 0.2; done; exec tail /dev/zero"
    home.text("run", "-d", "--name", "m", *kind, IMAGE, "--", "sh", "-c", hungry)
    home.text("exec", "-d", "m", "--", "sh", "-c", "sleep 2; touch /root/go")
    return home.files_of("m") / "console.log"


def assert_starvation_is_told(home: Home) -> None:
    wait_until(lambda: home.json("vm", "show", "m")["state"] == "stopped", 60, "its end is seen")
    assert home.json("vm", "show", "m")["reason"] == OOM_KILLED
    assert home.text("events", "--machine", "m").count("(tail) for lack of memory") == 1


@pytest.mark.parametrize(
    "kind", [("--cold", "--memory", "128MiB"), ("--init", "image", "--memory", "768MiB")]
)
def test_a_command_that_was_killed_for_memory_while_no_daemon_ran_is_told_of_by_the_next(
    own_home: Home, kind: tuple[str, ...]
) -> None:
    console = run_until_it_starves(own_home, *kind)
    end_daemon(own_home)
    wait_until(lambda: "Killed process" in console.read_text(), 60, "the guest's kernel killed it")
    assert_starvation_is_told(own_home)


def test_a_kill_for_memory_is_told_again_when_the_daemon_that_was_told_is_killed(own_home: Home) -> None:
    daemon = own_home.daemon_pid()
    console = run_until_it_starves(own_home, "--cold", "--memory", "128MiB")
    os.kill(daemon, signal.SIGSTOP)
    try:
        wait_until(lambda: "Killed process" in console.read_text(), 60, "the guest's kernel killed it")
        time.sleep(1)  # event and exit are on their way, and nobody reads them
    finally:
        os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not alive(daemon), 15, "the daemon ends")
    assert_starvation_is_told(own_home)


@needs_groups
def test_limits_outlive_the_daemon_and_end_with_the_machine(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "m", "--memory-limit", "600MiB", IMAGE)
    pid = vmm_pid(own_home, "m")
    group = group_of(pid, "memory")
    end_daemon(own_home)
    assert own_home.json("vm", "show", "m")["limits"]["memory"].endswith("600MiB")
    assert limit_of(group) == 600 * MIB
    end_daemon(own_home)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 10, "the VMM is gone")
    assert group.exists()
    wait_until(lambda: own_home.json("vm", "show", "m")["state"] == "stopped", 10, "its end is seen")
    assert not group.exists()


@needs_groups
def test_a_group_whose_record_was_lost_is_removed_by_the_next_daemon(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "m", IMAGE)
    pid = vmm_pid(own_home, "m")
    group = group_of(pid, "memory")
    end_daemon(own_home)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 10, "the VMM is gone")
    with contextlib.closing(sqlite3.connect(own_home.state / "banger.db")) as database, database:
        database.execute("DELETE FROM resources WHERE kind = 'cgroup'")
    assert group.exists()
    own_home.json("vm", "list")
    assert not group.exists()


def assert_slow(home: Home, machine: str, what: str) -> None:
    """12 MiB at 4 MiB a second, of which the first second's share comes at once."""
    begun = time.monotonic()
    sh(home, machine, "dd if=/dev/zero of=/root/x bs=1M count=12 oflag=direct 2>/dev/null")
    assert time.monotonic() - begun > 1.6, what


@pytest.mark.parametrize("options", [("--cold",), ()])
def test_the_disk_is_as_fast_as_it_may_be_and_stays_so(
    home: Home, name: str, options: tuple[str, ...]
) -> None:
    home.text("run", "-d", "--name", name, "--io-limit", "4MiB", "--iops-limit", "500", *options, IMAGE)
    assert home.json("vm", "show", name)["limits"]["iops"].endswith("500/s")
    assert_slow(home, name, "after the start")
    home.text("vm", "fork", name, "--name", f"{name}c")
    assert_slow(home, name, "when its disk has got another file")
    assert_slow(home, f"{name}c-1", "the child has its parent's limits")
    home.text("vm", "delete", "-f", name, f"{name}c-1")


@contextlib.contextmanager
def without_control_groups(home: Home) -> Iterator[None]:
    """The home's daemon sees them mounted read-only, as in most containers."""
    script = (
        "grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f5 |"
        ' while read m; do mount -o remount,bind,ro $m; done; exec "$@"'
    )
    argv = ["unshare", "-m", "sh", "-c", script, "sh", *home.argv("system", "info")]
    done = subprocess.run(argv, env=home.env, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"capability missing: a mount namespace: {done.stderr}")
    yield
    home.text("system", "stop")


@needs_mounts
def test_what_cannot_be_enforced_is_refused_or_warned_of_and_shown(own_home: Home) -> None:
    with without_control_groups(own_home):
        refused = own_home.run("run", "--rm", "--memory-limit", "600MiB", IMAGE, "--", "true")
        assert refused.returncode == 125
        said = refused.stderr.decode()
        assert "the memory limit cannot be enforced here: control groups are mounted read-only" in said
        assert "--limits best-effort" in said
        assert own_home.json("operation", "list")[-1]["error"]["code"] == "limit_unenforceable"
        assert own_home.leftovers() == []

        words = ("--memory-limit", "600MiB", "--limits", "best-effort", "--io-limit", "50MiB")
        taken = own_home.run("run", "-d", "--name", "m", *words, IMAGE, check=True)
        assert b"the memory limit is not enforced" in taken.stderr
        shown = own_home.text("vm", "show", "m")
        assert "warning: the memory limit is not enforced: control groups are mounted read-only" in shown
        assert "cpu: not enforced: control groups are mounted read-only" in shown
        assert "io: qemu, 50MiB/s" in shown  # QEMU needs no control group for that

        own_home.text("run", "-d", "--name", "plain", IMAGE)  # nobody asked: no warning
        assert own_home.json("vm", "show", "plain")["warnings"] == []
        own_home.text("vm", "delete", "-f", "m", "plain")


@pytest.mark.parametrize(
    ("setting", "code"),
    [('memory_reserve = "900GiB"', "insufficient_memory"), ('disk_reserve = "900TiB"', "insufficient_disk")],
)
def test_the_host_keeps_its_reserve(setting: str, code: str) -> None:
    with open_home(config=f"[limits]\n{setting}\n") as home:
        assert home.run("run", "--rm", IMAGE, "--", "true").returncode == 125
        assert home.json("operation", "list")[-1]["error"]["code"] == code
        assert home.leftovers() == []


@pytest.mark.timeout(300)
def test_a_guest_that_fills_its_disk_fills_no_more_than_that(home: Home, name: str) -> None:
    """Twice: what it deletes in between is given back."""
    home.text("run", "-d", "--name", name, "--disk", "1GiB", IMAGE)
    overlay = home.files_of(name) / "root.qcow2"
    for _ in range(2):
        said = sh(
            home, name, "yes banger > /root/full; sync; df -k / | tail -1; rm /root/full", timeout_s=140
        )
        assert said.split()[3] == "0"
    virtual_bytes = int(sh(home, name, "cat /sys/block/vda/size")) * 512
    assert virtual_bytes < 1.2 * 1024 * MIB
    assert overlay.stat().st_blocks * 512 < virtual_bytes * 1.01 + MIB
    home.text("vm", "delete", "-f", name)


def size_of_file_system(mount_point: Path, size_mib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_mib}m", mount_point], check=True)


@pytest.fixture
def small_home() -> Iterator[Home]:
    """Its state, store and all, is on a file system of 128 MiB."""
    with open_home(config='[limits]\ndisk_reserve = "32MiB"\n') as home:
        kept = (home.state / "banger.db").read_bytes()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m,mode=700", "tmpfs", home.state], check=True)
        try:
            (home.state / "banger.db").write_bytes(kept)
            yield home
            size_of_file_system(home.state, 512)
            machines = [machine["name"] for machine in home.json("vm", "list")]
            home.text("vm", "delete", "-f", *machines)
            assert home.leftovers() == []
        finally:
            end_daemon(home, signal.SIGTERM)
            print(home.daemon_log())
            subprocess.run(["umount", "-l", home.state], check=True)  # who has just ended may hold it


# 192 MiB of which every byte is known.
_FILL = "yes banger | head -c 201326592 > /root/big; sync; touch /root/done"
_SUM = subprocess.run(
    ["sh", "-c", "yes banger | head -c 201326592 | md5sum"], capture_output=True, text=True, check=True
).stdout.split()[0]


def begin_to_fill(home: Home) -> None:
    home.text("run", "-d", "--cold", "--name", "m", IMAGE)
    home.text("exec", "-d", "m", "--", "sh", "-c", _FILL)


def stands_still(home: Home) -> bool:
    machine = home.json("vm", "show", "m")
    return bool(machine["disk_full"])


def no_more_is_written(home: Home) -> bool:
    """The VMM ends at the first write that does not fit, which may be longer than the space that is left."""
    free = free_bytes(home.state)
    time.sleep(3)
    return free == free_bytes(home.state) < 32 * MIB


def assert_went_on(home: Home) -> None:
    """All that was written is there."""
    wait_until(lambda: home.json("vm", "show", "m")["state"] == "running", 30, "it goes on by itself")
    assert sh(home, "m", "until [ -e /root/done ]; do sleep 0.2; done; md5sum < /root/big").split()[0] == _SUM
    assert home.json("vm", "show", "m")["disk_full"] is False


@needs_mounts
def test_a_full_disk_of_the_host_halts_a_machine_until_there_is_room(small_home: Home) -> None:
    begin_to_fill(small_home)
    wait_until(lambda: stands_still(small_home), 60, "it found the disk full")
    machine = small_home.json("vm", "show", "m")
    assert (machine["state"], machine["reason"]) == ("paused", "the host's disk is full")
    asked = small_home.run("exec", "m", "--", "true")
    assert asked.returncode == 125
    assert "is halted: the host's disk is full" in asked.stderr.decode()
    time.sleep(5)  # it is not woken before there is room
    assert stands_still(small_home)
    size_of_file_system(small_home.state, 512)
    assert_went_on(small_home)


@needs_mounts
def test_a_daemon_finds_the_machine_that_halted_while_there_was_none(small_home: Home) -> None:
    begin_to_fill(small_home)
    end_daemon(small_home)
    wait_until(lambda: no_more_is_written(small_home), 60, "the disk is full")
    wait_until(lambda: stands_still(small_home), 20, "the new daemon sees that it stands still")
    end_daemon(small_home)  # and so does one that knows of it
    assert stands_still(small_home)
    size_of_file_system(small_home.state, 512)
    assert_went_on(small_home)


@needs_mounts
def test_a_user_who_pauses_a_halted_machine_decides_when_it_goes_on(small_home: Home) -> None:
    begin_to_fill(small_home)
    wait_until(lambda: stands_still(small_home), 60, "it found the disk full")
    size_of_file_system(small_home.state, 136)  # so that the store can be written to
    small_home.text("vm", "pause", "m")
    size_of_file_system(small_home.state, 512)
    time.sleep(5)
    machine = small_home.json("vm", "show", "m")
    assert (machine["state"], machine["disk_full"]) == ("paused", False)
    small_home.text("vm", "resume", "m")
    assert_went_on(small_home)


def test_a_console_log_turns_over_and_who_follows_it_misses_nothing(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "m", IMAGE)
    log = own_home.files_of("m") / "console.log"
    follower = own_home.popen("vm", "logs", "-f", "--console", "m", stdout=subprocess.PIPE)
    assert follower.stdout is not None
    heard: list[bytes] = []
    listening = threading.Thread(target=lambda: heard.extend(follower.stdout or ()), daemon=True)
    listening.start()
    lines = [b"line %07d of a guest that has much to say\n" % number for number in range(220_000)]
    with open(log, "ab") as console:  # as QEMU does; a guest takes a minute for that much
        console.writelines(lines)
    wait_until(lambda: log.stat().st_size < MIB, 15, "the log was turned over")
    assert log.with_name("console.log.1").stat().st_size > 8 * MIB
    sh(own_home, "m", "echo after the turn > /dev/console")
    wait_until(lambda: b"after the turn" in b"".join(heard[-3:]), 15, "the follower hears what comes next")
    assert log.stat().st_size < 4096  # no hole where the old part was: QEMU appends
    assert [line for line in heard if line.startswith(b"line ")] == lines
    own_home.text("vm", "kill", "m")
    follower.wait(10)
    listening.join(10)
    follower.stdout.close()
    whole = own_home.run("vm", "logs", "--console", "m", check=True).stdout
    assert lines[0] in whole and whole.rstrip().endswith(b"after the turn")
    tail = own_home.run("vm", "logs", "--console", "--tail", "3", "m", check=True).stdout.splitlines()
    assert len(tail) == 3 and tail[-1].strip() == b"after the turn"


def limit_of_process(pid: int, name: str) -> int:
    """The hard one, from /proc."""
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith(name):
            return int(line.removeprefix(name).split()[1])
    raise AssertionError(name)


FLOOD = """
use Socket; my @open;
for my $port (1 .. 400) {
    socket(my $s, PF_INET, SOCK_DGRAM, 17) or last;
    send($s, "x", 0, pack_sockaddr_in(1024 + $port, inet_aton("198.51.100.1")));
    push @open, $s;
}
mkdir "/run/flooded";
sleep 3600;
"""


def test_a_guest_that_opens_connections_without_end_gets_so_many_and_lives_on() -> None:
    with open_home(config="[limits]\nconnections = 16\n") as own:
        own.text("run", "-d", "--name", "m", IMAGE)
        pid = vmm_pid(own, "m")
        assert limit_of_process(pid, "Max core file size") == 0
        assert limit_of_process(pid, "Max open files") < 150
        assert limit_of_process(pid, "Max data size") < 4 << 30
        own.text("exec", "-d", "m", "--", "sh", "-c", f"ulimit -n 1000; perl -e '{FLOOD}'")
        script = "until [ -e /run/flooded ]; do sleep 0.1; done; echo lives"
        assert own.text("exec", "m", "--", "sh", "-c", script) == "lives\n"
        end_daemon(own)
        assert own.text("exec", "m", "--", "echo", "lives") == "lives\n"
        own.text("vm", "stop", "m")
