"""The daemon comes and goes; machines stay."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from banger.server import standstill
from tests.support.home import IMAGE, Home, alive, wait_until

pytestmark = pytest.mark.e2e


def test_ten_clients_at_once_start_one_daemon(own_home: Home) -> None:
    running = [own_home.popen("system", "info", "--json", stdout=subprocess.PIPE) for _ in range(10)]
    pids = {
        process.communicate(timeout=60)[0].split(b'"daemon_pid":')[1].split(b",")[0] for process in running
    }
    assert len(pids) == 1
    assert [process.returncode for process in running] == [0] * 10


def test_a_killed_daemon_loses_no_machine_and_no_output(own_home: Home) -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit 7"
    own_home.text("run", "-d", "--name", "busy", IMAGE, "--", "sh", "-c", script)
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    own_home.text("exec", "calm", "--", "touch", "/tmp/here")
    processes = own_home.machine_processes()
    pid = own_home.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5, "the daemon is dead")
    assert own_home.machine_processes() == processes
    states = {m["name"]: m["state"] for m in own_home.json("vm", "list")}
    assert states["calm"] == "running"
    assert own_home.daemon_pid() != pid
    assert own_home.machine_processes() == processes
    assert own_home.text("exec", "calm", "--", "ls", "/tmp/here") == "/tmp/here\n"
    assert own_home.text("vm", "wait", "busy").strip() == "7"
    assert own_home.text("logs", "--exec", "busy").splitlines() == [f"line {i}" for i in range(400)]


def test_a_command_that_ends_while_no_daemon_runs_keeps_its_exit_and_output(own_home: Home) -> None:
    script = "echo begun; sleep 2; echo over; echo it ends > /dev/console; exit 9"
    own_home.text("run", "-d", "--name", "brief", IMAGE, "--", "sh", "-c", script)
    machine = own_home.json("vm", "show", "brief")
    console = own_home.state / "machines" / (machine["place"] or machine["id"]) / "console.log"
    os.kill(own_home.daemon_pid(), signal.SIGKILL)
    wait_until(lambda: "it ends" in console.read_text(), 60, "its command ends")
    assert own_home.text("vm", "wait", "brief").strip() == "9"
    assert own_home.text("logs", "--exec", "brief") == "begun\nover\n"


def test_a_polite_end_of_the_daemon_leaves_machines_alone(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    own_home.text("vm", "pause", "calm")
    own_home.text("system", "restart")
    assert own_home.json("vm", "show", "calm")["state"] == "paused"
    own_home.text("vm", "resume", "calm")
    wait_until(lambda: own_home.run("exec", "calm", "--", "true").returncode == 0, 20, "it answers again")


def test_a_machine_that_died_while_no_daemon_ran_is_stopped(own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    vmm = own_home.json("vm", "show", "calm")["pid"]
    pid = own_home.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    os.kill(vmm, signal.SIGKILL)
    wait_until(lambda: not alive(pid) and not alive(vmm), 5, "both are dead")
    wait_until(lambda: own_home.json("vm", "show", "calm")["state"] == "stopped", 10, "it is seen")
    assert "no daemon ran" in own_home.json("vm", "show", "calm")["reason"]


def test_a_daemon_killed_while_a_machine_boots_leaves_no_process(own_home: Home) -> None:
    for delay_s in (0.0, 0.1, 0.3, 0.8):
        run = own_home.popen(
            "run", "--rm", "--cold", IMAGE, "--", "true", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        pid = own_home.daemon_pid()
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        assert run.wait(30) != 0
        wait_until(lambda: own_home.json("vm", "list") == [], 20, "the half-started machine is removed")
        assert own_home.machine_processes() == []
        assert own_home.leftovers() == []


def test_machines_and_daemon_outlive_their_run_directory(own_home: Home) -> None:
    """Others clean up there: at the log-out of a session, or in /tmp."""
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    run, pid = own_home.run_directory, own_home.daemon_pid()
    for _ in range(2):
        shutil.rmtree(run)
        assert own_home.text("exec", "calm", "--", "echo", "on") == "on\n"
        assert own_home.daemon_pid() == pid
    shutil.rmtree(run)
    os.kill(pid, signal.SIGKILL)
    assert own_home.text("exec", "calm", "--", "echo", "on") == "on\n"
    second = own_home.daemon_pid()
    shutil.rmtree(run)
    assert own_home.text("system", "stop") == "daemon stopped\n"
    assert not alive(second) and own_home.machine_processes()
    assert own_home.text("system", "stop") == "no daemon runs\n"


def test_a_socket_alone_that_is_removed_is_made_anew(own_home: Home) -> None:
    pid = own_home.daemon_pid()
    (own_home.run_directory / "banger.sock").unlink()
    assert own_home.daemon_pid() == pid


def test_nothing_of_the_starters_environment_reaches_daemon_helper_or_vmm(
    own_home: Home, tmp_path: Path
) -> None:
    secrets = {
        "SOME_API_TOKEN": "canary-4711",
        "SSH_AUTH_SOCK": "/canary-4711",
        "BANGER_PASSWORD": "canary-4711",
    }
    # A helper that tells what it was given. It is in a jail, so it writes to nothing but its output.
    (tmp_path / "qemu-img").write_text("#!/bin/sh\nenv >&2\nexit 1\n")
    (tmp_path / "qemu-img").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    own_home.run("run", "-d", "--name", "calm", IMAGE, check=True, env={**secrets, **path})
    refused = own_home.run("vm", "commit", "calm", "copy", "--json")
    given = json.loads(refused.stdout or refused.stderr)["error"]["details"]["stderr"]
    assert "LC_ALL=C.UTF-8" in given and refused.returncode == 125
    held = [Path(f"/proc/{pid}/environ").read_bytes() for pid in own_home.machine_processes()]
    held += [Path(f"/proc/{own_home.daemon_pid()}/environ").read_bytes(), given.encode()]
    assert len(held) > 2 and not [found for found in held if b"canary" in found]
    names = {entry.partition(b"=")[0] for entry in held[0].split(b"\0") if entry}
    # A shell, which enters control groups before it becomes the VMM, adds where it is.
    assert names <= {
        b"PATH",
        b"LD_LIBRARY_PATH",
        b"LD_PRELOAD",
        b"LANG",
        b"BANGER_RESOURCE",
        b"PWD",
        b"OLDPWD",
        b"SHLVL",
        b"_",
    }


def test_a_daemon_keeps_no_limit_and_no_directory_of_the_shell_that_started_it(
    own_home: Home, tmp_path: Path
) -> None:
    shell = 'ulimit -S -f 100; ulimit -S -n 128; ulimit -S -t 600; exec 99</dev/null; exec "$@"'
    argv = ["bash", "-c", shell, "shell", *own_home.argv("system", "start")]
    subprocess.run(argv, env=own_home.env, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    pid = own_home.daemon_pid()
    assert os.readlink(f"/proc/{pid}/cwd") == "/" and not os.path.exists(f"/proc/{pid}/fd/99")
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):
        soft, hard = resource.prlimit(pid, limit)
        assert soft == hard


def test_a_restart_waits_for_the_old_daemon(own_home: Home) -> None:
    for _ in range(3):
        before = own_home.daemon_pid()
        own_home.text("system", "restart")
        assert not alive(before) and own_home.daemon_pid() != before


def test_an_interrupted_run_leaves_nothing(own_home: Home) -> None:
    own_home.text("system", "info")
    for signo, delay_s in ((signal.SIGINT, 0.5), (signal.SIGKILL, 0.5), (signal.SIGKILL, 4.0)):
        run = own_home.popen(
            "run", "--rm", IMAGE, "--", "sleep", "600", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay_s)
        run.send_signal(signo)
        run.wait(30)
        wait_until(lambda: own_home.json("vm", "list") == [], 30, "the machine is removed")
        assert own_home.leftovers() == []


def test_an_idle_daemon_sleeps_and_is_small(own_home: Home) -> None:
    del own_home.env[standstill.VARIABLE]  # who watches it does not sleep
    own_home.text("vm", "list")
    pid = own_home.daemon_pid()
    wait_until(lambda: switches_in(pid, 3) <= 2, 60, "it has done what it had to do")
    assert switches_in(pid, 3) <= 2
    assert resident_bytes(pid) < 60 << 20


def switches_in(pid: int, period_s: float) -> int:
    before = switches(pid)
    time.sleep(period_s)
    return switches(pid) - before


def switches(pid: int) -> int:
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as file:
            total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
