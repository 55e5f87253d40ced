"""Nothing blocks on one sick VM: with one of them hung, hostile or damaged, the daemon answers at once and the other
machines stay fully usable."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from banger.client.sync import Client
from banger.errors import Error
from banger.model.command import Command
from banger.model.report import Check
from tests.support.home import IMAGE, Home, alive, wait_until
from tests.support.pace import at_most
from tests.support.shelter import Shelter, open_shelter
from tests.support.sick import (
    EVENTS,
    GARBAGE,
    TINY_FRAMES,
    Behaviour,
    flood_with,
    impostor,
    only_greet,
    stay_silent,
)

pytestmark = pytest.mark.e2e

API_S = 1.0
COMMAND_S = 3.0
WELL = "well"

# Pid 1 cannot be stopped by a signal from inside, but a cgroup can hold it.
_FREEZE_AGENT = """
cd /sys/fs/cgroup 2>/dev/null && [ -e cgroup.procs ] || {
    mkdir -p /mnt/cg; mount -t cgroup2 none /mnt/cg; cd /mnt/cg; }
mkdir ice; echo 1 > ice/cgroup.procs; echo 1 > ice/cgroup.freeze
"""


@pytest.fixture(scope="module")
def shelter() -> Iterator[Shelter]:
    with open_shelter() as opened:
        yield opened


@pytest.fixture
def ward(shelter: Shelter, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A home with one machine that is well."""
    with shelter.lend(request.node, lambda _: None) as home:
        if not home.json("vm", "list"):
            home.text("run", "-d", "--name", WELL, IMAGE)
        yield home


@pytest.fixture
def client(ward: Home) -> Client:
    return client_of(ward)


@pytest.fixture
def ill(ward: Home, name: str) -> Iterator[str]:
    """The machine that gets sick; it can always be deleted, and at once."""
    ward.text("run", "-d", "--name", name, IMAGE)
    yield name
    if any(machine["name"] == name for machine in ward.json("vm", "list")):
        with at_most(COMMAND_S, "vm delete -f"):
            ward.text("vm", "delete", "-f", name)


def client_of(home: Home) -> Client:
    return Client(str(home.directory / "run/banger.sock"), start=False)


def assert_nobody_waits(home: Home, sick: str) -> None:
    """The sick one is listed and shown at once, and the one that is well does all that it did."""
    client = client_of(home)
    with at_most(API_S, "listing"):
        assert sick in [machine.name for machine in client.machines.list()]
    with at_most(API_S, "showing"):
        assert client.machines.get(sick).name == sick
    with at_most(COMMAND_S, "vm list"):
        assert sick in home.text("vm", "list")
    with at_most(COMMAND_S, "vm show"):
        home.text("vm", "show", sick)
    with at_most(2 * COMMAND_S, "what the one that is well does"):
        assert home.text("exec", WELL, "--", "echo", "fine") == "fine\n"
        assert client.machines.ping(WELL, 3).round_trips_ms
        assert all(check.ok for check in _checks(client, WELL))


def _checks(client: Client, name: str) -> list[Check]:
    health = client.machines.health(name)
    return [health.agent, health.init, health.vmm]


def test_a_guest_that_freezes_its_agent_hurts_only_itself(ward: Home, client: Client, ill: str) -> None:
    client.machines.exec_detached(ill, Command(argv=["sh", "-c", _FREEZE_AGENT]))
    wait_until(lambda: not client.machines.health(ill).agent.ok, 15, "the agent is frozen")
    assert_nobody_waits(ward, ill)
    health = client.machines.health(ill)
    assert health.vmm.ok and not health.init.ok
    with at_most(6, "exec with a time-out"):
        done = ward.run("exec", "--timeout", "1s", ill, "--", "true")
    assert done.returncode == 124
    with at_most(API_S, "the API's stop"):
        operation = client.machines.stop(ill, grace_s=1)
    client.operations.wait(operation.id)
    assert client.machines.get(ill).state == "stopped"


def test_a_command_that_freezes_its_agent_ends_at_its_time_out(ward: Home, client: Client, ill: str) -> None:
    """Attached to, waited for, and as the command of a machine that then goes."""
    script = _FREEZE_AGENT + "sleep 600"
    with at_most(10, "exec with a time-out"):
        done = ward.run("exec", "--timeout", "2s", ill, "--", "sh", "-c", script)
    assert done.returncode == 124 and b"does not answer" in done.stderr
    assert_nobody_waits(ward, ill)
    with at_most(20, "run with a time-out"):
        run = ("run", "--rm", "--name", f"{ill}-2", "--timeout", "2s", IMAGE, "--", "sh", "-c", script)
        done = ward.run(*run)
    assert done.returncode == 124 and b"does not answer" in done.stderr
    assert f"{ill}-2" not in ward.text("vm", "list")


def test_a_time_out_holds_for_a_later_daemon_too(own_home: Home) -> None:
    """The daemon that started the command has ended; then the command freezes its agent."""
    own_home.text("run", "-d", "--name", "m", IMAGE)
    script = "until [ -e /go ]; do sleep 0.1; done;" + _FREEZE_AGENT + "sleep 600"
    started = own_home.text("exec", "-d", "--timeout", "20s", "m", "--", "sh", "-c", script)
    end_daemon(own_home)
    own_home.text("exec", "m", "--", "touch", "/go")
    with at_most(40, "waiting for a command with a time-out"):
        done = own_home.run("vm", "wait", "m", "--exec", started.split()[-1])
    assert done.returncode == 124 and b"within its time-out, and the guest m does not answer" in done.stderr


def test_a_guest_that_has_no_memory_left_hurts_only_itself(ward: Home, client: Client, ill: str) -> None:
    hog = "mount -o remount,size=100% /dev/shm; while :; do tail -c 64M /dev/zero > /dev/shm/$((i=i+1)); done"
    script = f"({hog}) & ({hog}) & bomb() {{ bomb | bomb & }}; bomb"
    client.machines.exec_detached(ill, Command(argv=["sh", "-c", script]))
    time.sleep(2)
    assert_nobody_waits(ward, ill)
    with at_most(API_S, "killing"):
        client.machines.kill(ill)


def test_a_stopped_vmm_is_named_stops_in_bounded_time_and_is_killed_at_once(
    ward: Home, client: Client, ill: str
) -> None:
    vmm = client.machines.get(ill).pid
    os.kill(vmm, signal.SIGSTOP)
    assert_nobody_waits(ward, ill)
    with at_most(2 + API_S, "health"):
        health = client.machines.health(ill)
    assert not health.agent.ok and not health.vmm.ok
    assert f"pid {vmm}" in health.vmm.message
    with at_most(6, "exec with a time-out"):
        assert ward.run("exec", "--timeout", "1s", ill, "--", "true").returncode == 124
    with at_most(API_S, "the API's stop"):
        operation = client.machines.stop(ill, grace_s=1)
    with at_most(15, "the stop itself"):
        client.operations.wait(operation.id)
    assert not alive(vmm)


def test_a_stopped_vmm_is_deleted_at_once_even_while_it_is_being_stopped(
    ward: Home, client: Client, ill: str
) -> None:
    vmm = client.machines.get(ill).pid
    os.kill(vmm, signal.SIGSTOP)
    operation = client.machines.stop(ill, grace_s=10)
    with at_most(API_S, "deleting"):
        client.machines.delete(ill, force=True)
    assert not alive(vmm)
    assert client.operations.wait(operation.id).state == "succeeded"


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_machine_whose_disk_is_damaged_says_so_and_can_be_deleted(
    ward: Home, client: Client, ill: str, damage: str
) -> None:
    client.machines.kill(ill)
    disk = ward.files_of(ill) / "root.qcow2"
    if damage == "truncated":
        os.truncate(disk, 100)
    else:
        disk.unlink()
    done = ward.run("vm", "start", ill)
    said = done.stderr.decode()
    assert done.returncode == 125 and "Traceback" not in said
    if damage == "missing":
        assert "is missing" in said and str(disk.parent) in said
    else:
        assert "qcow2" in said and "qemu ended" in said
    assert_nobody_waits(ward, ill)


def test_a_machine_whose_directories_are_removed_while_it_runs_can_be_deleted(
    ward: Home, client: Client, ill: str
) -> None:
    machine = client.machines.get(ill)
    shutil.rmtree(ward.state / "sockets" / ward.files_of(ill).name)
    assert ward.text("exec", ill, "--", "echo", "on") == "on\n"
    shutil.rmtree(ward.files_of(ill))
    assert_nobody_waits(ward, ill)
    stats = ward.run("vm", "stats", ill)
    assert b"Traceback" not in stats.stderr
    with at_most(API_S, "deleting"):
        client.machines.delete(ill, force=True)
    assert not alive(machine.pid)


def test_with_sick_ones_among_ten_the_others_are_taken_over_as_soon(own_home: Home) -> None:
    """Each sickness that a peer can have, after a restart of the daemon."""
    sick: dict[str, tuple[str, Behaviour]] = {
        "mute-control": ("qmp.sock", stay_silent),
        "mute-agent": ("agent.sock", stay_silent),
        "only-greets": ("agent.sock", only_greet),
        "floods-events": ("agent.sock", flood_with(EVENTS * 1000)),
        "floods-frames": ("agent.sock", flood_with(TINY_FRAMES)),
        "garbage": ("agent.sock", flood_with(GARBAGE)),
    }
    well = [f"well-{number}" for number in range(10 - len(sick))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: own_home.text("run", "-d", "--name", name, IMAGE), [*well, *sick]))
    end_daemon(own_home)
    all_well_s = take_over(own_home, well)
    run = own_home.state / "sockets"
    places = {name: own_home.files_of(name).name for name in sick}
    end_daemon(own_home)
    with contextlib.ExitStack() as stack:
        for name, (socket_name, behaviour) in sick.items():
            stack.enter_context(impostor(run / places[name] / socket_name, behaviour))
        with_sick_s = take_over(own_home, well)
        print(f"taken over: {all_well_s:.2f} s when all are well, {with_sick_s:.2f} s with {len(sick)} sick")
        assert with_sick_s < all_well_s + COMMAND_S
        client = client_of(own_home)
        for name in sick:
            with at_most(API_S, f"showing {name}"):
                assert client.machines.get(name).state == "running"
            with at_most(2 + API_S, f"health of {name}"):
                health = client.machines.health(name)
            assert not (health.agent.ok and health.vmm.ok), name
        with at_most(2 * COMMAND_S, "exec without a control connection"):
            wait_until(lambda: client.machines.health("mute-control").agent.ok, 10, "its agent is not sick")
            assert client.machines.exec("mute-control", ["true"]).exit_code == 0
        assert resident_bytes(own_home.daemon_pid()) < 90 << 20
        for name in sick:
            with at_most(API_S, f"deleting {name}"):
                client.machines.delete(name, force=True)
        log = (own_home.state / "daemon.log").read_text(errors="replace")
        assert log.count("event=oom") < 50 and "\x1b" not in log
        assert len(log) < 200_000


def test_a_session_that_was_lost_is_begun_again_by_who_needs_it(ward: Home, client: Client, ill: str) -> None:
    """What ran meanwhile goes on; the guest was never restarted."""
    ward.text("exec", "-d", ill, "--", "sh", "-c", "sleep 600; exit 3")
    running = {entry.pid for entry in client.machines.execs(ill)}
    socket = ward.state / "sockets" / ward.files_of(ill).name / "agent.sock"
    aside = socket.rename(socket.with_name("aside.sock"))
    end_daemon(ward)
    with impostor(socket, flood_with(GARBAGE)):
        ward.daemon_pid()
        wait_until(lambda: client.machines.exec(WELL, ["true"]).exit_code == 0, 10, "the other is taken over")
        with at_most(COMMAND_S, "being told"):
            done = ward.run("exec", ill, "--", "true")
        assert done.returncode == 125 and b"agent" in done.stderr
        with at_most(API_S, "being told again"), pytest.raises(Error, match="agent"):
            client.machines.exec(ill, ["true"])
    aside.rename(socket)
    wait_until(lambda: ward.run("exec", ill, "--", "true").returncode == 0, 15, "it answers again")
    assert {entry.pid for entry in client.machines.execs(ill) if entry.running} == running


def take_over(home: Home, names: list[str]) -> float:
    """Start the daemon; how long it takes until each of the machines runs a command."""
    begun = time.monotonic()
    client = client_of(home)
    home.daemon_pid()

    def answers(name: str) -> None:
        wait_until(lambda: client.machines.health(name).agent.ok, 30, f"{name} is taken over")
        assert client.machines.exec(name, ["true"]).exit_code == 0

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(answers, names))
    return time.monotonic() - begun


def end_daemon(home: Home) -> None:
    pid = home.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 5, "the daemon is dead")


def test_a_log_position_that_is_nonsense_costs_no_output(own_home: Home) -> None:
    script = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.2; done; exit 7"
    own_home.text("run", "-d", "--name", "busy", IMAGE, "--", "sh", "-c", script)
    directory = own_home.files_of("busy")
    end_daemon(own_home)
    (directory / "exec.pos").write_bytes(b"\xff" * 16)
    assert own_home.text("vm", "wait", "busy").strip() == "7"
    lines = (directory / "exec.log").read_text().splitlines()
    assert lines[-20:] == [f"line {number}" for number in range(20)]  # from where the agent keeps it


def test_a_viewer_that_never_reads_does_not_make_the_daemon_grow(ward: Home, client: Client) -> None:
    """Dozens of commands that write without end, byte by byte among them, and terminals that stand still."""
    daemon = ward.daemon_pid()
    before = resident_bytes(daemon)
    noisy = "trap exit HUP; while :; do echo x; echo y >&2; done & exec cat /dev/zero"
    viewers = [
        ward.popen("exec", WELL, "--", "sh", "-c", noisy, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(12)
    ]
    try:
        time.sleep(4)
        with at_most(API_S, "listing"):
            client.machines.list()
        grown = resident_bytes(daemon) - before
        print(f"the daemon grew by {grown >> 20} MiB for {len(viewers)} viewers")
        assert grown < len(viewers) * (4 << 20)
    finally:
        for viewer in viewers:
            viewer.kill()
            viewer.communicate()
        ward.text("exec", WELL, "--", "sh", "-c", "killall -9 cat || pkill -9 cat; true")


def test_a_command_whose_name_is_odd_is_listed_after_a_restart(own_home: Home) -> None:
    """Odd bytes in a label, and the name that the machine's own command has for itself."""
    own_home.text("run", "-d", "--name", "calm", IMAGE)
    odd = "/tmp/ma\x1b[1m\u00e9\n"
    place = "cp /bin/sleep \"$(printf '/tmp/ma\\033[1m\\303\\251\\n.')\"; "
    own_home.text("exec", "calm", "--", "sh", "-c", place + "ln -s /bin/sleep /usr/local/bin/main")
    client = client_of(own_home)
    client.machines.exec_detached("calm", Command(argv=[odd + ".", "600"]))
    client.machines.exec_detached("calm", Command(argv=["main", "1"]))
    end_daemon(own_home)
    own_home.daemon_pid()
    wait_until(lambda: client.machines.health("calm").agent.ok, 20, "it is taken over")
    time.sleep(1.5)
    assert client.machines.get("calm").state == "running"
    assert any("?[1m" in run.argv[0] for run in client.machines.execs("calm"))


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
