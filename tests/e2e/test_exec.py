"""`banger vm exec`: commands in a running machine."""

from __future__ import annotations

import filecmp
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from banger.client.sync import Client
from banger.errors import Error
from tests.support.home import Home, wait_until
from tests.support.pace import allowed_s

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("command", "code"),
    [(["true"], 0), (["false"], 1), (["no-such-program"], 127), (["/etc/passwd"], 126), (["/etc"], 126)],
)
def test_exit_codes_are_dockers(home: Home, dev: str, command: list[str], code: int) -> None:
    assert home.run("exec", dev, "--", *command).returncode == code


@pytest.mark.parametrize(
    ("words", "said"),
    [(("-u", "nobody-here"), b"nobody-here"), (("-w", "/no/such/place"), b"/no/such/place")],
)
def test_what_the_guest_does_not_have_is_named(
    home: Home, dev: str, words: tuple[str, ...], said: bytes
) -> None:
    done = home.run("exec", *words, dev, "--", "true")
    assert done.returncode == 125
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_hundred_megabytes_come_back_byte_for_byte(home: Home, dev: str, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    block = os.urandom(1 << 20)
    with open(sent, "wb") as file:
        for number in range(100):
            file.write(number.to_bytes(4, "big") + block[4:])
    with open(sent, "rb") as source, open(tmp_path / "received", "wb") as sink:
        process = home.popen("exec", "-i", dev, "--", "cat", stdin=source, stdout=sink)
        assert process.wait(100) == 0
    assert filecmp.cmp(sent, tmp_path / "received", shallow=False)


def test_many_commands_at_once_do_not_mix(home: Home, dev: str) -> None:
    script = 'for i in $(seq 200); do echo "$1 $i"; done; exit $1'
    running = [
        home.popen("exec", dev, "--", "sh", "-c", script, "sh", str(n), stdout=subprocess.PIPE)
        for n in range(8)
    ]
    for number, process in enumerate(running):
        output, _ = process.communicate(timeout=60)
        assert output.decode().splitlines() == [f"{number} {i}" for i in range(1, 201)]
        assert process.returncode == number


def test_a_slow_reader_holds_up_only_itself(home: Home, dev: str) -> None:
    flood = home.popen("exec", dev, "--", "sh", "-c", "yes", stdout=subprocess.PIPE)
    try:
        begun = time.monotonic()
        assert home.text("exec", dev, "--", "echo", "quick") == "quick\n"
        assert time.monotonic() - begun < allowed_s(20)
    finally:
        flood.kill()
        flood.communicate()
    wait_until(lambda: home.run("exec", dev, "--", "pidof", "yes").returncode == 1, 20, "yes is hung up")


def test_a_signal_that_is_passed_on_reaches_the_process_alone(home: Home, dev: str) -> None:
    script = "trap 'echo caught; exit 9' TERM; sleep 300 & wait"
    process = home.popen("exec", dev, "--", "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    sleeps = ("exec", dev, "--", "pgrep", "-x", "-f", "sleep 300")
    wait_until(lambda: home.run(*sleeps).returncode == 0, 20, "its child is there")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"caught\n"
    assert process.wait(20) == 9
    process.stdout.close()
    home.run("exec", dev, "--", "pkill", "-x", "-f", "sleep 300", check=True)


def test_a_detached_command_goes_on(home: Home, dev: str) -> None:
    home.text("exec", "-d", dev, "--", "sh", "-c", "sleep 0.3; echo yes > /tmp/detached")
    wait_until(
        lambda: home.run("exec", dev, "--", "cat", "/tmp/detached").stdout == b"yes\n",
        20,
        "it wrote its file",
    )


def test_stdin_is_not_read_without_being_asked(home: Home, dev: str) -> None:
    assert home.run("exec", dev, "--", "cat", stdin=b"secret").stdout == b""


def test_a_closed_output_ends_quietly(home: Home, dev: str) -> None:
    process = home.popen("exec", dev, "--", "yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_odd_arguments_arrive_as_they_are(home: Home, dev: str) -> None:
    odd = ["", "two words", "new\nline", "quote'\"", "ünïcödé", "-x", "$HOME", "*"]
    output = home.run("exec", dev, "--", "printf", "[%s]", *odd, check=True).stdout.decode()
    assert output == "".join(f"[{word}]" for word in odd)


def test_names_are_bytes(home: Home, dev: str, tmp_path: Path) -> None:
    odd = os.fsdecode(b"a\xe9b")
    (tmp_path / "env").write_bytes(b"F=\xff\xfe\n")
    words = ("-e", f"K={odd}", "-e", f"{odd}=1", "--env-file", str(tmp_path / "env"))
    script = 'mkdir -p "/d$1"; cd "/d$1"; pwd; printf %s "$1$K$F"'
    said = home.run("exec", *words, dev, "--", "sh", "-c", script, "sh", odd, check=True).stdout
    assert said == b"/da\xe9b\na\xe9ba\xe9b\xff\xfe"
    assert b"\na\xe9b=1\n" in home.run("exec", *words, dev, "--", "env", check=True).stdout
    assert home.run("exec", "-w", f"/d{odd}", dev, "--", "pwd", check=True).stdout == b"/da\xe9b\n"
    assert home.run("exec", "-u", odd, dev, "--", "true").returncode == 125
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert home.run("exec", dev, "--", "printf", "%s", "ü", check=True, env=plain).stdout == "ü".encode()


@pytest.mark.parametrize("count", [4097, 20_000, 100_000])
def test_as_many_arguments_as_the_kernel_takes(home: Home, dev: str, count: int) -> None:
    words = [str(n) for n in range(count)]
    assert home.text("exec", dev, "--", "sh", "-c", "echo $# $1", "sh", *words) == f"{count} 0\n"


def test_more_than_the_kernel_takes_is_an_error_with_a_name(home: Home, dev: str) -> None:
    """Of the guest's kernel, which says so as a shell does; and of one argument, which may have 128 KiB there."""
    client = Client(home.json("system", "info")["socket"], start=False)
    with pytest.raises(Error) as caught:
        client.machines.exec(dev, ["true", "x" * (128 * 1024)])
    assert caught.value.code == "command_not_executable"
    with pytest.raises(Error) as caught:
        client.machines.exec(dev, ["true", *["x" * 100_000] * 60])
    assert caught.value.code == "payload_too_large"
    assert home.text("exec", dev, "--", "echo", "fine") == "fine\n"
