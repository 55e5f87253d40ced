"""run, exec and attach: streams, signals and the terminal, with real pipes and a real pty."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.cli.signals import Patience
from banger.cli.terminal import plan_quiet, plan_raw
from tests.support.home import wait_until
from tests.support.pace import allowed_s
from tests.unit.test_client_stand_in import StandIn, running

ARGV = [sys.executable, "-m", "banger.cli.main"]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with running(tmp_path) as running_one:
        monkeypatch.setenv("BANGER_SOCKET", str(running_one.path))
        yield running_one


def banger(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    options.setdefault("input", b"not to be read")
    return subprocess.run([*ARGV, *words], capture_output=True, timeout=50, **options)


@pytest.mark.parametrize("words", [["exec", "dev", "exit", "7"], ["run", "--rm", "debian", "exit", "7"]])
def test_the_commands_exit_code_is_ours(stand_in: StandIn, words: list[str]) -> None:
    done = banger(*words)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")


def test_output_goes_where_it_belongs(stand_in: StandIn) -> None:
    assert banger("exec", "dev", "echo", "hi").stdout == b"hi\n"
    assert banger("exec", "dev", "warn", "hi").stderr == b"hi\n"


def test_a_command_that_is_not_there_is_127(stand_in: StandIn) -> None:
    done = banger("exec", "dev", "missing")
    assert (done.returncode, done.stderr) == (127, b"banger: there is no missing\n")


def test_a_daemon_that_goes_away_is_125(stand_in: StandIn) -> None:
    done = banger("exec", "dev", "hang-up")
    assert done.returncode == 125 and b"ended before the command did" in done.stderr


def test_stdin_is_read_only_when_asked_for(stand_in: StandIn) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"mine")
    os.close(writer)
    subprocess.run([*ARGV, "exec", "dev", "echo"], stdin=reader, capture_output=True, timeout=30, check=True)
    assert os.read(reader, 10) == b"mine"
    os.close(reader)
    assert banger("exec", "-i", "dev", "cat", input=b"abc").stdout == b"abc"
    assert [r["command"]["stdin"] for r in stand_in.requests] == [False, True]


def test_the_request_says_what_was_asked_for(stand_in: StandIn) -> None:
    options = ["-e", "A=b", "-w", "/srv", "-u", "me", "--timeout", "2s", "--name", "dev", "--rm"]
    banger("run", *options, "debian", "--", "echo", "-n")
    command = stand_in.requests[0]["spec"].pop("command")
    assert stand_in.requests[0] == {
        "spec": {"image": "debian", "name": "dev", "remove": True},
        "detach": False,
    }
    assert command["argv"] == ["echo", "-n"]
    assert (command["env"], command["cwd"], command["user"]) == ({"A": "b"}, "/srv", "me")
    assert (command["timeout_s"], command["tty"]) == (2.0, False)


def test_detach_prints_the_name(stand_in: StandIn) -> None:
    done = banger("run", "-d", "debian", "sleep")
    assert (done.stdout, done.returncode) == (b"dev\n", 0)
    assert banger("exec", "-d", "dev", "sleep").stdout == b"4\n"


def test_timings_are_a_table_on_stderr(stand_in: StandIn) -> None:
    done = banger("run", "--timings", "debian", "echo")
    names = [line.split("  ")[0] for line in done.stderr.decode().splitlines()]
    assert names == ["cli start", "run", "total", "cli whole"] and done.stdout == b"\n"


def test_100_mb_go_through_byte_for_byte(stand_in: StandIn, tmp_path: Path) -> None:
    """Through pipes on both ends, faster than a disk."""
    (tmp_path / "in").write_bytes(os.urandom(1024 * 1024) * 100)
    begun = time.monotonic()
    words = f"cat {tmp_path}/in | {sys.executable} -m banger.cli.main exec -i dev cat | sha256sum"
    done = subprocess.run(["bash", "-c", words], capture_output=True, timeout=50, check=True)
    assert done.stdout.split()[0].decode() == hashlib.sha256((tmp_path / "in").read_bytes()).hexdigest()
    assert time.monotonic() - begun < allowed_s(20)


def test_a_slow_reader_loses_nothing(stand_in: StandIn) -> None:
    script = f"{sys.executable} -m banger.cli.main exec dev flood 3000000 | (sleep 1; wc -c)"
    assert int(subprocess.run(["bash", "-c", script], capture_output=True, timeout=30).stdout) == 3_000_000


def test_a_reader_that_goes_away_ends_us_quietly(stand_in: StandIn) -> None:
    script = (
        f"{sys.executable} -m banger.cli.main exec dev flood 9000000 | head -c 3; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == (b"xxx", b"", 141)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_do_no_harm(stand_in: StandIn, closed: str) -> None:
    script = f"{sys.executable} -m banger.cli.main exec -i dev exit 3 {closed}"
    assert subprocess.run(["bash", "-c", script], timeout=30).returncode == 3


def test_regular_files_are_read_and_written(stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"abc" * 100_000)
    with open(tmp_path / "in", "rb") as stdin, open(tmp_path / "out", "wb") as stdout:
        subprocess.run(
            [*ARGV, "exec", "-i", "dev", "cat"], stdin=stdin, stdout=stdout, timeout=30, check=True
        )
    assert (tmp_path / "out").read_bytes() == b"abc" * 100_000


def test_the_flags_of_our_stdout_are_left_alone(stand_in: StandIn) -> None:
    """O_NONBLOCK would hit everyone who shares the pipe."""
    reader, writer = os.pipe()
    subprocess.run([*ARGV, "exec", "dev", "echo", "x"], stdout=writer, timeout=30, check=True)
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    os.close(writer)
    assert os.read(reader, 10) == b"x\n"
    os.close(reader)


@contextlib.contextmanager
def in_background(stand_in: StandIn, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A banger that has asked for its command; one that waits runs by then."""
    process = subprocess.Popen(
        [*ARGV, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        wait_until(lambda: stand_in.requests, 10, "the daemon is asked")
        if words[-1] == "wait":
            assert process.stdout is not None and process.stdout.readline() == b"up\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_are_passed_on_and_the_code_is_128_more(stand_in: StandIn, number: signal.Signals) -> None:
    with in_background(stand_in, "exec", "dev", "wait") as process:
        process.send_signal(number)
        assert process.wait(10) == 128 + number
    assert stand_in.said == [{"type": "signal", "signal": number}]


def test_a_signal_that_the_command_survives_changes_nothing(stand_in: StandIn) -> None:
    with in_background(stand_in, "exec", "dev", "wait") as process:
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: stand_in.said == [{"type": "signal", "signal": 10}], 10, "the signal arrives")
        assert process.poll() is None


def test_ctrl_c_before_the_command_runs_gives_up(stand_in: StandIn) -> None:
    with in_background(stand_in, "exec", "dev", "never-started") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert stand_in.said == []


def test_patience_ends_with_two_quick_presses_or_a_third() -> None:
    patience = Patience()
    assert [patience.press(now) for now in (0, 5)] == [False, False] and patience.press(10)
    patience = Patience()
    assert not patience.press(0) and patience.press(0.9)


class OnTerminal:
    """A banger on a pty. `screen` is all it showed."""

    def __init__(self, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(30, 100)
        self.before = termios.tcgetattr(self.slave)
        self.screen = b""
        # A controlling terminal of its own, so that Ctrl-C makes a signal.
        self.process = subprocess.Popen(
            [*ARGV, *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def see(self, wanted: bytes) -> None:
        deadline = time.monotonic() + 10
        while wanted not in self.screen:
            left = deadline - time.monotonic()
            assert left > 0, self.screen
            if select.select([self.master], [], [], left)[0]:
                self.screen += os.read(self.master, 4096)

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & termios.ISIG

    @property
    def is_restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(stand_in: StandIn) -> Iterator[Callable[..., OnTerminal]]:
    """Starts a banger on a pty and waits until its terminal is raw."""
    opened: list[OnTerminal] = []

    def start(*words: str, raw: bool = True) -> OnTerminal:
        opened.append(OnTerminal(*words))
        if raw:
            wait_until(lambda: opened[-1].is_raw, 10, "the terminal is raw")
        return opened[-1]

    yield start
    for one in opened:
        one.close()


Terminals = Callable[..., OnTerminal]


def test_keys_go_to_the_guest_as_they_are(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("exec", "-it", "dev", "cat")
    one.type(b"a\x03\x1a\r\x04\xff")
    one.see(b"a\x03\x1a\r\x04\xff")
    assert stand_in.requests[0]["command"]["rows"] == 30 and stand_in.requests[0]["command"]["cols"] == 100


def test_a_new_size_is_told(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("exec", "-it", "dev", "cat")
    one.resize(50, 120)
    one.process.send_signal(signal.SIGWINCH)
    one.see(b"50x120")
    assert stand_in.said == [{"type": "resize", "rows": 50, "cols": 120}]


def test_the_detach_keys_detach_and_restore(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("run", "-it", "debian", "cat")
    one.type(b"first\x1dkept\x1e\x11lost")
    one.see(b"come back with `banger vm attach dev`")
    assert one.process.wait(10) == 0 and one.is_restored
    assert b"first\x1dkept" in one.screen
    assert stand_in.said[-1] == {"type": "detach"}


def test_other_detach_keys_can_be_named(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("exec", "-it", "--detach-keys", "ctrl-p,x", "dev", "cat")
    one.type(b"\x1e\x11\x10")
    one.see(b"\x1e\x11\x10")  # what began like the keys comes after a moment
    one.type(b"\x10x")
    one.see(b"come back with `banger vm attach --exec")
    assert one.process.wait(10) == 0 and one.is_restored


def test_without_a_command_a_terminal_means_it(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("exec", "dev")
    one.type(b"\x1e\x11")
    assert one.process.wait(10) == 0
    command = stand_in.requests[0]["command"]
    assert (command["tty"], command["stdin"], command["argv"]) == (True, True, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_we_are_ended(
    stand_in: StandIn, terminal: Terminals, number: int
) -> None:
    one = terminal("exec", "-it", "dev", "cat")
    one.process.send_signal(number)
    assert one.process.wait(10) == 128 + number and one.is_restored


def test_the_terminal_is_restored_when_the_command_ends(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("exec", "-it", "dev", "exit", "4", raw=False)
    assert one.process.wait(10) == 4 and one.is_restored


def test_the_terminal_is_restored_after_an_error(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("exec", "-it", "dev", "hang-up", raw=False)
    assert one.process.wait(10) == 125 and one.is_restored


def test_ctrl_c_at_the_boot_is_for_us_and_restores(stand_in: StandIn, terminal: Terminals) -> None:
    one = terminal("run", "-it", "debian", "never-started", raw=False)
    wait_until(lambda: stand_in.requests, 10, "the daemon is asked")
    wait_until(lambda: not one.is_restored, 10, "the terminal has another mode")
    one.type(b"\x03")
    assert one.process.wait(10) == 130 and one.is_restored


def test_a_shell_that_changed_the_modes_is_put_right_after_a_stop(
    stand_in: StandIn, terminal: Terminals
) -> None:
    one = terminal("exec", "-it", "dev", "cat")
    termios.tcsetattr(one.slave, termios.TCSANOW, one.before)
    one.process.send_signal(signal.SIGCONT)
    wait_until(lambda: one.is_raw, 10, "the terminal is raw")


def test_progress_on_a_terminal_is_a_bar_that_goes_away(stand_in: StandIn, terminal: Terminals) -> None:
    stand_in.progress = [
        {"phase": "disk", "message": "fetching", "done": n, "total": 10, "unit": ""} for n in range(8)
    ]
    stand_in.progress_delay_s = 0.1
    one = terminal("run", "-t", "debian", "echo", "done", raw=False)
    one.see(b"disk: fetching")
    one.see(b"done")
    assert b"\x1b[2K" in one.screen
    assert one.process.wait(10) == 0


def test_attach_uses_the_commands_own_terminal_mode(stand_in: StandIn, terminal: Terminals) -> None:
    spec = {"image": "debian", "command": {"argv": ["sh"], "tty": True, "stdin": True}}
    stand_in.answers["GET", "/v1/machines/dev"] = {"name": "dev", "spec": spec}
    one = terminal("vm", "attach", "dev")
    one.type(b"x\x1e\x11")
    assert one.process.wait(10) == 0 and one.is_restored


def test_raw_is_raw_and_quiet_keeps_ctrl_c() -> None:
    master, slave = pty.openpty()
    saved = termios.tcgetattr(slave)
    quiet, raw = plan_quiet(saved), plan_raw(saved)
    os.close(master)
    os.close(slave)
    local = 3  # the place of c_lflag
    before, quietly, rawly = saved[local], quiet[local], raw[local]
    assert isinstance(before, int) and isinstance(quietly, int) and isinstance(rawly, int)
    assert quietly & termios.ISIG and not quietly & (termios.ECHO | termios.ICANON)
    assert not rawly & (termios.ISIG | termios.ECHO | termios.ICANON | termios.IEXTEN)
    assert before & termios.ECHO
