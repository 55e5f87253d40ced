"""Looking into a running machine: health, ping, stats, ports, logs; pause and resume."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.support.guests import clock_error_s
from tests.support.home import IMAGE, Home, wait_until

pytestmark = pytest.mark.e2e


def test_health_tells_agent_init_and_vmm_apart(home: Home, dev: str) -> None:
    health = home.json("vm", "health", dev)
    assert {part: health[part]["ok"] for part in health} == {
        "agent": True,
        "init": True,
        "clock": True,
        "vmm": True,
    }
    assert "qemu" in health["vmm"]["message"]
    text = home.text("vm", "health", dev)
    for word in ("agent", "init", "clock", "VMM"):
        assert word.lower() in text.lower()


@pytest.mark.parametrize("wrong", ["-1 hour", "+3 days"])
def test_a_clock_that_is_wrong_is_told_and_put_right(home: Home, name: str, wrong: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    home.text("exec", name, "--", "date", "-s", wrong)
    done = home.run("vm", "health", name)
    assert done.returncode == 1 and (b"behind" if wrong[0] == "-" else b"ahead") in done.stdout
    wait_until(lambda: home.run("vm", "health", name).returncode == 0, 90, "its clock is right")
    assert clock_error_s(home, name) < 2
    home.text("rm", "-f", name)


def test_ping_prints_round_trips(home: Home, dev: str) -> None:
    times = home.json("vm", "ping", "-c", "20", dev)["round_trips_ms"]
    assert len(times) == 20
    assert all(0 < t < 5000 for t in times)


def test_stats_are_json_of_guest_and_vmm(home: Home, dev: str) -> None:
    import json

    home.text("exec", dev, "--", "sh", "-c", "head -c 3000000 /dev/zero > /root/zeros; sync")
    stats = json.loads(home.text("vm", "stats", "--json", dev))
    guest, vmm = stats["guest"], stats["vmm"]
    assert 0 < guest["memory_available_bytes"] < guest["memory_total_bytes"] < 512 << 20
    assert guest["cpu_busy_s"] > 0 and guest["uptime_s"] > 1
    assert {disk["name"] for disk in guest["disks"]} == {"vda", "vdb"}
    assert {"lo", "eth0"} <= {net["name"] for net in guest["networks"]}
    assert vmm["pid"] in home.machine_processes()
    assert vmm["memory_rss_bytes"] > vmm["memory_pss_bytes"] > 10 << 20
    assert vmm["disk_bytes"] > 3_000_000
    assert vmm["cpu_s"] > 0


def test_ports_are_a_table_with_process_names(home: Home, dev: str) -> None:
    home.text("exec", "-d", dev, "--", "bash", "-c", "exec -a listener perl -MIO::Socket::INET -e "
              "'my $s=IO::Socket::INET->new(Listen=>1,LocalPort=>8080) or die; sleep 600'")  # fmt: skip
    wait_until(lambda: any(p["port"] == 8080 for p in home.json("vm", "ports", dev)), 20, "it listens")
    (port,) = [p for p in home.json("vm", "ports", dev) if p["port"] == 8080]
    assert (port["protocol"], port["address"], port["process"]) == ("tcp", "0.0.0.0", "perl")
    assert port["pid"] > 1
    (line,) = [text for text in home.text("vm", "ports", dev).splitlines() if "8080" in text]
    assert "perl" in line
    home.text("exec", dev, "--", "kill", str(port["pid"]))


def test_every_listing_has_json(home: Home, dev: str) -> None:
    for words in (("vm", "list"), ("image", "list"), ("kernel", "list"), ("operation", "list"), ("ps",)):
        assert isinstance(home.json(*words), list)
    assert [i["name"] for i in home.json("image", "list")] == [IMAGE]
    (kernel,) = home.json("kernel", "list")
    assert "cloud" in kernel["release"]


def test_system_info_names_what_there_is(home: Home) -> None:
    info = home.json("system", "info")
    assert int((home.run_directory / "daemon.pid").read_text()) == info["daemon_pid"]
    assert {a["name"] for a in info["accelerators"]} == {"kvm", "tcg"}
    qemu, firecracker = info["drivers"]
    assert (qemu["name"], firecracker["name"]) == ("qemu", "firecracker")
    assert qemu["version"][0].isdigit() and "tcg" in qemu["accels"]
    assert str(info["daemon_pid"]) in home.text("system", "info")
    assert info["auto_driver"]["driver"] in ("qemu", "firecracker") and info["auto_driver"]["reason"]


def test_a_machine_says_what_runs_it_and_how_its_disk_was_made(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, "--driver", "auto", IMAGE, "--", "sleep", "1000")
    shown, info = home.json("vm", "show", name), home.json("system", "info")
    assert info["auto_driver"]["is_tried"] and shown["driver"] == info["auto_driver"]["driver"]
    (driver,) = [each for each in info["drivers"] if each["name"] == shown["driver"]]
    assert (shown["driver_version"], shown["driver_lacks"]) == (driver["version"], driver["lacks"])
    assert shown["root_disk"] in (("layer",) if shown["driver"] == "qemu" else ("copy", "reflink"))


def test_the_socket_is_ours_alone(home: Home) -> None:
    socket = home.run_directory / "banger.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    assert home.run_directory.stat().st_mode & 0o777 == 0o700


def test_a_paused_machine_costs_nothing_and_goes_on(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE, "--", "sh", "-c", "while :; do :; done")
    pid = home.json("vm", "show", name)["pid"]
    home.text("vm", "pause", name)
    assert home.json("vm", "show", name)["state"] == "paused"
    before = cpu_ticks(pid)
    time.sleep(1)
    assert cpu_ticks(pid) - before <= 5
    done = home.run("vm", "pause", name)
    assert done.returncode == 125 and b"paused" in done.stderr
    home.text("vm", "resume", name)
    before = cpu_ticks(pid)
    wait_until(lambda: cpu_ticks(pid) - before > 20, 20, "it runs again")
    assert home.text("exec", name, "--", "echo", "awake") == "awake\n"
    home.text("vm", "pause", name)
    home.text("stop", name)
    assert home.json("vm", "show", name)["state"] == "stopped"
    home.text("rm", name)


def test_following_the_logs_ends_with_the_machine(home: Home, name: str) -> None:
    script = "echo one; sleep 2; echo two"
    home.text("run", "-d", "--name", name, IMAGE, "--", "sh", "-c", script)
    follower = home.popen("logs", "-f", "--exec", name, stdout=subprocess.PIPE)
    output, _ = follower.communicate(timeout=60)
    assert output == b"one\ntwo\n"
    assert follower.returncode == 0
    assert home.text("logs", "--exec", "--tail", "1", name) == "two\n"
    home.text("rm", name)


def test_kill_ends_it_at_once_and_a_signal_reaches_the_main_command(home: Home, name: str) -> None:
    script = "trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 0.1; done"
    home.text("run", "-d", "--name", name, IMAGE, "--", "sh", "-c", script)
    wait_until(lambda: home.text("logs", "--exec", name) == "ready\n", 20, "it is ready")
    home.text("vm", "kill", "--signal", "USR1", name)
    assert home.text("vm", "wait", name).strip() == "5"
    home.text("start", name)
    home.text("vm", "kill", name)
    assert home.json("vm", "show", name)["state"] == "stopped"
    home.text("rm", name)


def test_a_vmm_that_dies_leaves_a_truthful_record(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    os.kill(home.json("vm", "show", name)["pid"], signal.SIGKILL)
    wait_until(lambda: home.json("vm", "show", name)["state"] == "stopped", 20, "it is seen")
    assert "unexpectedly" in home.json("vm", "show", name)["reason"]
    home.text("start", name)
    home.text("rm", "-f", name)


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
