"""Machines that nobody uses are paused, and wake for whoever wants something of them."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guests import CLOCK_S, clock_error_s, cpu_ticks
from tests.support.home import IMAGE, Home, open_home, wait_until
from tests.support.pace import allowed_s

pytestmark = pytest.mark.e2e

IDLE = ("--idle-pause", "1s")
WAKES = 5


@pytest.fixture
def sleepy(home: Home, name: str) -> Iterator[str]:
    """A machine that is idle now."""
    home.text("run", "-d", *IDLE, "--name", name, IMAGE)
    wait_idle(home, name)
    yield name
    home.run("rm", "-f", name, check=True)


def state(home: Home, machine: str) -> tuple[str, bool]:
    shown = home.json("vm", "show", machine)
    return shown["state"], shown["idle"]


def wait_idle(home: Home, machine: str) -> None:
    wait_until(lambda: state(home, machine) == ("paused", True), 40, f"{machine} is idle")


def exec_s(home: Home, machine: str) -> float:
    begun = time.monotonic()
    home.text("exec", machine, "--", "true")
    return time.monotonic() - begun


def test_an_idle_machine_is_listed_as_idle_and_costs_nothing(home: Home, sleepy: str) -> None:
    (row,) = [line for line in home.text("ps").splitlines() if line.startswith(sleepy)]
    assert " idle " in row
    pid = home.json("vm", "show", sleepy)["pid"]
    before = cpu_ticks(pid)
    time.sleep(2)
    assert cpu_ticks(pid) - before <= 1


def test_a_command_wakes_it_and_its_clock_is_right(home: Home, sleepy: str) -> None:
    time.sleep(2)
    begun = time.time()
    said = float(home.text("exec", sleepy, "--", "date", "+%s.%N"))
    assert begun - 0.05 < said < time.time() + 0.05
    assert state(home, sleepy)[0] == "running"
    assert clock_error_s(home, sleepy) < allowed_s(CLOCK_S)
    wait_idle(home, sleepy)


def test_waking_takes_little_longer_than_a_command(home: Home, dev: str, sleepy: str) -> None:
    awake, woken = [], []
    for _ in range(WAKES):
        awake.append(exec_s(home, dev))
        wait_idle(home, sleepy)
        woken.append(exec_s(home, sleepy))
    wake_ms = (statistics.median(woken) - statistics.median(awake)) * 1000
    print(f"waking: {wake_ms:.0f} ms (medians: {statistics.median(awake) * 1000:.0f} awake)")
    assert wake_ms < allowed_s(1.5) * 1000


@pytest.mark.parametrize(
    "words",
    [("vm", "ping", "-c", "1"), ("vm", "stats"), ("vm", "ports")],
    ids=lambda w: w[1],
)
def test_every_question_wakes_it(home: Home, sleepy: str, words: tuple[str, ...]) -> None:
    home.text(*words, sleepy)
    assert state(home, sleepy) == ("running", False)


def test_asking_for_its_health_does_not(home: Home, sleepy: str) -> None:
    assert home.json("vm", "health", sleepy)["vmm"]["ok"]
    assert state(home, sleepy) == ("paused", True)


def test_copying_files_wakes_it(home: Home, sleepy: str, tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("well\n")
    home.text("cp", str(tmp_path / "sent"), f"{sleepy}:/root/sent")
    wait_idle(home, sleepy)
    home.text("cp", f"{sleepy}:/root/sent", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "well\n"


def test_a_running_command_keeps_it_awake(home: Home, sleepy: str) -> None:
    running = home.popen("exec", sleepy, "--", "sleep", "4")
    wait_until(lambda: state(home, sleepy)[0] == "running", 20, "it is awake")
    while running.poll() is None:
        assert state(home, sleepy) == ("running", False)
        time.sleep(0.3)
    assert running.returncode == 0
    wait_idle(home, sleepy)


def test_whoever_is_attached_keeps_it_awake_and_its_main_command_alone_does_not(
    home: Home, name: str
) -> None:
    home.text("run", "-d", *IDLE, "--name", name, IMAGE, "--", "sh", "-c", "sleep 600; exit 0")
    wait_idle(home, name)
    attached = home.popen("vm", "attach", name)
    wait_until(lambda: state(home, name)[0] == "running", 20, "it is awake")
    for _ in range(8):
        assert state(home, name) == ("running", False)
        time.sleep(0.3)
    attached.send_signal(signal.SIGKILL)
    attached.wait(10)
    wait_idle(home, name)
    home.text("stop", name)
    assert state(home, name) == ("stopped", False)
    home.text("rm", name)


def test_a_signal_wakes_it_and_a_stop_asks_its_command_also_under_a_new_daemon(name: str) -> None:
    script = "trap 'echo heard' HUP; trap 'echo bye; exit 3' TERM; while :; do sleep 1 & wait $!; done"
    with open_home() as own:
        own.text("run", "-d", *IDLE, "--name", name, IMAGE, "--", "sh", "-c", script)
        wait_idle(own, name)
        own.text("vm", "kill", "--signal", "HUP", name)
        wait_until(lambda: "heard" in own.text("logs", "--exec", name), 20, "it heard of that")
        wait_idle(own, name)
        own.text("system", "restart")
        assert state(own, name) == ("paused", True)
        own.text("stop", name)
        assert own.text("logs", "--exec", name).endswith("bye\n")
        own.text("rm", name)


def test_a_guest_that_computes_is_not_idle(home: Home, name: str) -> None:
    home.text("run", "-d", *IDLE, "--name", name, IMAGE, "--", "sh", "-c", "while :; do :; done")
    for _ in range(12):
        assert state(home, name) == ("running", False)
        time.sleep(0.3)
    home.text("rm", "-f", name)


def test_what_a_user_paused_nobody_wakes(home: Home, sleepy: str) -> None:
    home.text("vm", "pause", sleepy)
    assert state(home, sleepy) == ("paused", False)
    for words in (("exec", sleepy, "--", "true"), ("vm", "ping", "-c", "1", sleepy)):
        done = home.run(*words)
        assert done.returncode == 125 and b"paused" in done.stderr
    assert state(home, sleepy) == ("paused", False)
    home.text("vm", "resume", sleepy)
    assert home.text("exec", sleepy, "--", "echo", "well") == "well\n"
    wait_idle(home, sleepy)


def test_a_fork_leaves_it_idle(home: Home, sleepy: str) -> None:
    (child,) = home.text("vm", "fork", sleepy).split()
    assert state(home, sleepy) == ("paused", True)
    assert home.text("exec", child, "--", "hostname") == f"{child}\n"
    wait_idle(home, child)
    home.text("rm", "-f", child)


def test_it_can_be_stopped_and_started(home: Home, sleepy: str) -> None:
    home.text("stop", sleepy)
    assert state(home, sleepy) == ("stopped", False)
    home.text("start", sleepy)
    assert home.text("exec", sleepy, "--", "echo", "well") == "well\n"
    wait_idle(home, sleepy)


def test_one_that_is_not_asked_to_is_never_idle(home: Home, dev: str) -> None:
    time.sleep(1.5)
    assert state(home, dev) == ("running", False)


def test_it_stays_idle_without_its_daemon_and_wakes_for_the_next(name: str) -> None:
    with open_home() as own:
        own.text("run", "-d", *IDLE, "--name", name, IMAGE)
        wait_idle(own, name)
        own.text("system", "restart")
        assert state(own, name) == ("paused", True)
        time.sleep(1)
        assert state(own, name) == ("paused", True)
        assert own.text("exec", name, "--", "echo", "well") == "well\n"
        assert clock_error_s(own, name) < allowed_s(CLOCK_S)
        wait_idle(own, name)
        own.text("exec", name, "--", "true")
        own.text("system", "restart")
        wait_idle(own, name)
