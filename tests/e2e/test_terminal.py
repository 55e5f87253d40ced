"""A person at a terminal: a shell with a pty, window sizes, keys, detaching."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.support.home import IMAGE, Home, open_home, wait_until

pytestmark = pytest.mark.e2e

DETACH = b"\x1e\x11"


class Terminal:
    """`banger` on a pty of ours, typed to and read from."""

    def __init__(self, home: Home, *words: str, rows: int = 40, cols: int = 120) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, cols)
        self.process = home.popen(*words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.slave = slave
        self.seen = b""

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def expect(self, pattern: bytes, limit_s: float = 40) -> re.Match[bytes]:
        """Read until the pattern is there; what is before it is dropped."""
        end = time.monotonic() + limit_s
        os.set_blocking(self.master, False)
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end() :]
                return found
            assert time.monotonic() < end, f"{pattern!r} is not in {self.seen[-2000:]!r}"
            try:
                self.seen += os.read(self.master, 65536)
            except BlockingIOError:
                time.sleep(0.02)

    def close(self) -> int:
        code = self.process.wait(60)
        os.close(self.slave)
        os.close(self.master)
        return code


def runs(home: Home, machine: str, command: str) -> bool:
    return home.run("exec", machine, "--", "pgrep", "-f", f"^{command}").returncode == 0


def test_a_run_without_a_command_is_a_shell(home: Home, name: str) -> None:
    terminal = Terminal(home, "vm", "run", "--rm", "--name", name, IMAGE)
    terminal.expect(rb"[#$] ")
    terminal.type(b"tty; stty size; echo $((40+2))\n")
    terminal.expect(rb"/dev/pts/\d+\r\n40 120\r\n42\r\n")
    terminal.resize(25, 90)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.type(b"until stty size | grep 90; do sleep 0.1; done\n")
    terminal.expect(rb"25 90\r\n")
    terminal.type(b"sleep 500\n")
    wait_until(lambda: runs(home, name, "sleep 500"), 20, "the command runs")
    terminal.type(b"\x03")
    terminal.expect(rb"[#$] ")
    terminal.type(b"sleep 501\n")
    wait_until(lambda: runs(home, name, "sleep 501"), 20, "the command runs")
    terminal.type(b"\x1a")
    terminal.expect(rb"Stopped")
    terminal.type(b"kill %1; exit 3\n")
    assert terminal.close() == 3
    assert name not in home.text("vm", "list")


def test_the_keys_detach_and_everything_goes_on(home: Home, name: str) -> None:
    terminal = Terminal(home, "vm", "run", "--rm", "--name", name, IMAGE)
    terminal.expect(rb"[#$] ")
    terminal.type(b"echo $((1000+234)); sleep 2; echo kept > /root/file\n")
    terminal.expect(rb"1234")
    terminal.type(DETACH)
    assert terminal.close() == 0
    assert home.json("vm", "show", name)["state"] == "running"
    wait_until(
        lambda: home.run("exec", name, "--", "test", "-s", "/root/file").returncode == 0, 20, "it goes on"
    )
    assert home.text("exec", name, "--", "cat", "/root/file") == "kept\n"
    again = Terminal(home, "vm", "attach", name)
    again.type(b"\n")
    again.expect(rb"[#$] ")
    again.type(b"exit 4\n")
    assert again.close() == 4


def test_a_command_that_was_detached_from_is_come_back_to_also_under_a_new_daemon(name: str) -> None:
    with open_home() as own:
        own.text("run", "-d", "--name", name, IMAGE)
        terminal = Terminal(own, "exec", "-it", name, "--", "bash", "--norc")
        terminal.expect(rb"[#$] ")
        terminal.type(b"\x1d\x15kept=yes" + b"\n" + DETACH)
        assert terminal.close() == 0
        (shell,) = [e for e in own.json("vm", "execs", name) if e["running"]]
        assert shell["tty"] and shell["detached"]
        own.text("system", "restart")
        (again,) = [e for e in own.json("vm", "execs", name) if e["running"]]
        assert (again["id"], again["tty"], again["stdin"]) == (shell["id"], True, True)
        terminal = Terminal(own, "vm", "attach", "--exec", str(shell["id"]), name)
        terminal.type(b"echo it is $kept; exit 4\n")
        terminal.expect(rb"it is yes")
        assert terminal.close() == 4
        own.text("rm", "-f", name)


def test_a_new_size_while_the_machine_is_paused_ends_nothing(home: Home, name: str) -> None:
    terminal = Terminal(home, "vm", "run", "--rm", "--name", name, IMAGE)
    terminal.expect(rb"[#$] ")
    home.text("vm", "pause", name)
    terminal.resize(31, 77)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.type(b"stty size\n")
    with pytest.raises(AssertionError, match="is not in"):
        terminal.expect(rb"31 77\r\n", limit_s=1)
    assert terminal.process.poll() is None
    home.text("vm", "resume", name)
    terminal.expect(rb"31 77\r\n")
    terminal.type(b"exit 6\n")
    assert terminal.close() == 6


def test_a_signal_that_a_paused_machine_cannot_take_is_told_and_ends_nothing(home: Home, name: str) -> None:
    script = "trap 'echo heard; exit 7' TERM; echo ready; while :; do sleep 0.2; done"
    run = home.popen(
        *("run", "--rm", "--name", name, IMAGE, "--", "sh", "-c", script),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout is not None and run.stderr is not None
    assert run.stdout.readline() == b"ready\n"
    home.text("vm", "pause", name)
    run.send_signal(signal.SIGTERM)
    while b"paused" not in (line := run.stderr.readline()):
        assert line, "it ended"
    assert run.poll() is None
    home.text("vm", "resume", name)
    run.send_signal(signal.SIGTERM)
    assert run.communicate(timeout=60)[0] == b"heard\n" and run.returncode == 7
    assert name not in home.text("vm", "list")


def test_two_terminals_see_one_command_and_each_leaves_alone(home: Home, name: str) -> None:
    first = Terminal(home, "vm", "run", "--name", name, IMAGE)
    first.expect(rb"[#$] ")
    second = Terminal(home, "vm", "attach", name)
    second.type(b"echo $((40+2))\n")
    for terminal in (second, first):
        terminal.expect(rb"42\r\n")
    first.type(DETACH)
    assert first.close() == 0
    second.type(b"echo $((50+2)); exit 5\n")
    second.expect(rb"52\r\n")
    assert second.close() == 5
    home.text("rm", name)


def test_a_terminal_that_closes_while_its_machine_is_paused_hangs_its_command_up(
    home: Home, name: str
) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    terminal = Terminal(home, "exec", "-it", name, "--", "bash", "--norc")
    terminal.expect(rb"[#$] ")
    home.text("vm", "pause", name)
    terminal.process.send_signal(signal.SIGKILL)
    terminal.close()
    home.text("vm", "resume", name)
    wait_until(lambda: not any(e["running"] for e in home.json("vm", "execs", name)), 20, "it is hung up")
    home.text("rm", "-f", name)


def test_the_terminal_is_as_it_was_afterwards(home: Home, dev: str) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    for command, code in ((["true"], 0), (["no-such-program"], 127), (["sh", "-c", "kill -9 $$"], 137)):
        terminal = Terminal(home, "exec", "-it", dev, "--", *command)
        terminal.process.wait(60)
        assert termios.tcgetattr(terminal.slave) == before
        assert terminal.close() == code


def test_a_hung_up_terminal_ends_the_shell(home: Home, dev: str) -> None:
    terminal = Terminal(home, "exec", "-it", dev, "--", "bash", "--norc")
    terminal.expect(rb"[#$] ")
    terminal.type(b"exec -a hung-up-shell bash --norc\n")
    terminal.expect(rb"[#$] ")
    terminal.process.send_signal(signal.SIGKILL)
    terminal.close()
    wait_until(lambda: not runs(home, dev, "hung-up-shell"), 20, "the shell ends")


def test_a_tty_without_a_terminal_of_ours_works_too(home: Home, dev: str) -> None:
    done = home.run("exec", "-t", dev, "--", "tty", check=True)
    assert done.stdout.startswith(b"/dev/pts/")
