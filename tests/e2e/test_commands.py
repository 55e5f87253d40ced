"""Commands of a machine beside each other: found by their number, signalled, attached to, and what signals reach."""

from __future__ import annotations

import pytest

from tests.support.home import IMAGE, Home, wait_until

pytestmark = pytest.mark.e2e

PARENT = "trap 'echo heard' {}; sleep 900 & while :; do wait; done"


def runs(home: Home, machine: str, pattern: str) -> bool:
    return home.run("exec", machine, "--", "pgrep", "-f", pattern).returncode == 0


def test_a_detached_command_is_listed_logged_signalled_and_waited_for(home: Home, dev: str) -> None:
    script = "trap 'echo heard; exit 7' USR1; echo begun; while :; do sleep 0.1; done"
    number = home.text("exec", "-d", dev, "--", "sh", "-c", script).strip()
    (row,) = [line for line in home.text("vm", "execs", dev).splitlines() if line.split()[0] == number]
    assert "running" in row
    wait_until(lambda: "begun" in home.text("logs", "--exec", number, dev), 20, "it has begun")
    home.text("vm", "kill", "--exec", number, "--signal", "USR1", dev)
    assert home.text("vm", "wait", "--exec", number, dev).strip() == "7"
    assert home.text("logs", dev, "--exec", number).split() == ["begun", "heard"]
    missing = home.run("vm", "wait", "--exec", "99999", dev)
    assert missing.returncode == 125 and b"no command 99999" in missing.stderr


def test_a_signal_reaches_the_process_alone_and_a_hang_up_its_session(home: Home, dev: str) -> None:
    number = home.text(
        "exec", "-d", dev, "--", "sh", "-c", PARENT.format("TERM").replace("900", "901")
    ).strip()
    wait_until(lambda: runs(home, dev, "[s]leep 901"), 20, "its child runs")
    home.text("vm", "kill", "--exec", number, "--signal", "TERM", dev)
    wait_until(lambda: "heard" in home.text("logs", "--exec", number, dev), 20, "it heard of that")
    assert runs(home, dev, "[s]leep 901")
    home.text("vm", "kill", "--exec", number, dev)
    assert home.text("vm", "wait", "--exec", number, dev).strip() == "137"
    home.run("exec", dev, "--", "pkill", "-f", "[s]leep 901", check=True)
    hung_up = home.popen("exec", dev, "--", "sh", "-c", "sleep 902 & wait")
    wait_until(lambda: runs(home, dev, "[s]leep 902"), 20, "its child runs")
    hung_up.kill()
    hung_up.wait()
    wait_until(lambda: not runs(home, dev, "[s]leep 902"), 20, "the session is gone")


def test_a_paused_machine_never_hears_a_signal_that_was_refused(home: Home, name: str) -> None:
    script = "trap 'echo heard' HUP; while :; do sleep 0.1; done"
    home.text("run", "-d", "--name", name, IMAGE, "--", "sh", "-c", script)
    home.text("vm", "pause", name)
    refused = home.run("vm", "kill", "--signal", "HUP", name)
    assert refused.returncode == 125 and b"is paused" in refused.stderr
    home.text("vm", "resume", name)
    home.text("exec", name, "--", "sleep", "1")
    assert home.text("logs", "--exec", name) == ""
    home.text("vm", "kill", "--signal", "HUP", name)
    wait_until(lambda: "heard" in home.text("logs", "--exec", name), 20, "it heard of the other")
    home.run("rm", "-f", name, check=True)


def test_panic_reboot_and_power_off_are_told_apart(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE, "--", "sleep", "infinity")

    def shown(field: str) -> str:
        return str(home.json("vm", "show", name)[field])

    home.run("exec", name, "--", "reboot")
    wait_until(lambda: shown("reboots") == "1" and runs(home, name, "[s]leep infinity"), 90, "it came back")
    assert shown("restarts") == "0"
    home.run("exec", name, "--", "sh", "-c", "echo c > /proc/sysrq-trigger")
    wait_until(lambda: shown("state") == "stopped", 30, "it ended")
    assert shown("reason").startswith("the guest's kernel panicked: ")
    (row,) = [line for line in home.text("ps").splitlines() if line.startswith(name)]
    assert "panicked" in row
    home.text("start", name)
    home.run("exec", name, "--", "poweroff")
    wait_until(lambda: shown("state") == "stopped", 60, "it ended")
    assert shown("reason") == "the guest powered off"
    home.run("rm", "-f", name, check=True)


def test_an_entrypoint_that_has_to_be_process_1_is(home: Home, name: str) -> None:
    home.text(
        "run",
        "-d",
        "--name",
        name,
        "--init",
        "entrypoint",
        IMAGE,
        "--",
        "sh",
        "-c",
        "echo $$; exec sleep 900",
    )

    def name_of_process_1() -> str:
        return home.text("exec", name, "--", "cat", "/proc/1/comm").strip()

    wait_until(lambda: name_of_process_1() == "sleep", 10, "the shell has become its last command")
    assert home.text("logs", "--exec", name).strip() == "1"
    home.run("rm", "-f", name, check=True)
    ended = home.run(
        "run", "--rm", "--init", "image", "--entrypoint", "sh", IMAGE, "--", "-c", "exit $(($$ + 6))"
    )
    assert ended.returncode == 7
