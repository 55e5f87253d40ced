"""What clients of SSH do beside commands and files: hops, keep-alive, sizes, signals, and machines that sleep."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import shlex
import struct
import subprocess
import termios
import threading
import time
from collections.abc import AsyncIterator, Iterator

import asyncssh
import pytest

from tests.support.home import IMAGE, Home, wait_until
from tests.support.openssh import FAILED, PATIENCE_S, Ssh

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BYTES = bytes(range(0x80, 0x100)) + "grün".encode() + b"\xff"


def read_line(program: subprocess.Popen[bytes]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().decode().strip()


def say(program: subprocess.Popen[bytes], text: str) -> None:
    assert program.stdin is not None
    program.stdin.write(text.encode())
    program.stdin.flush()


def test_a_command_may_have_any_bytes(ssh: Ssh, host: str) -> None:
    command = b"printf %s '" + BYTES + b"'"
    assert ssh.run("ssh", host, os.fsdecode(command)).stdout == BYTES
    name = os.fsdecode(b"/tmp/n\xe9\xff")
    (ssh.place / "a").write_bytes(b"contents")
    ssh.run("scp", "-q", "a", f"{host}:{name}")
    assert ssh.text("ssh", host, f"cat {name}; rm {name}") == "contents"


def test_keep_alive_of_the_client_does_not_end_a_session_whose_machine_stands_still(
    ssh: Ssh, home: Home, name: str
) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    alive = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=1"]
    try:
        with ssh.beside("ssh", *alive, f"{name}.banger", "while read x; do echo got $x; done") as program:
            say(program, "one\n")
            assert read_line(program) == "got one"
            home.text("pause", name)
            say(program, "two\n")
            time.sleep(5)
            assert program.poll() is None
            home.text("resume", name)
            assert read_line(program) == "got two"
            (pid,) = [home.json("vm", "show", name)["pid"]]
            os.kill(pid, 19)
            time.sleep(5)
            os.kill(pid, 18)
            say(program, "three\n")
            assert read_line(program) == "got three"
    finally:
        home.run("rm", "-f", name)


def test_a_client_that_stands_still_keeps_its_session(ssh: Ssh, host: str) -> None:
    with ssh.beside("ssh", host, "while read x; do echo got $x; done") as program:
        say(program, "one\n")
        assert read_line(program) == "got one"
        os.kill(program.pid, 19)
        time.sleep(5)
        os.kill(program.pid, 18)
        say(program, "two\n")
        assert read_line(program) == "got two"


def test_a_sleeping_machine_wakes_for_a_session_and_a_paused_one_does_not(
    ssh: Ssh, home: Home, name: str
) -> None:
    home.text("run", "-d", "--idle-pause", "1s", "--name", name, IMAGE)
    try:
        wait_until(lambda: home.json("vm", "show", name)["idle"], PATIENCE_S, "it sleeps")
        done = ssh.run("ssh", f"{name}.banger", "hostname")
        assert done.stdout.decode() == f"{name}\n" and f"banger: waking {name}" in done.stderr.decode()
        home.run("pause", name)
        done = ssh.run("ssh", f"{name}.banger", "true", code=FAILED)
        assert b"paused" in done.stderr and b"hint: " in done.stderr
    finally:
        home.run("rm", "-f", name)


def test_a_terminal_follows_the_size_of_its_window(ssh: Ssh, host: str) -> None:
    ours, theirs = pty.openpty()

    def set_size(rows: int, cols: int) -> None:
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def await_text(text: bytes) -> None:
        said = b""
        while text not in said:
            assert select.select([ours], [], [], PATIENCE_S)[0], said
            said += os.read(ours, 4096)

    set_size(21, 81)
    told = "trap 'echo told' WINCH; echo begun; while :; do"
    command = f'{told} now=$(stty size); [ "$now" = "$last" ] || echo "$now"; last=$now; sleep 0.2; done'
    argv = ["setsid", "-c", "ssh", "-t", host, command]
    with subprocess.Popen(argv, env=ssh.env, stdin=theirs, stdout=theirs, stderr=theirs) as program:
        try:
            await_text(b"21 81")
            for rows, cols in ((33, 101), (50, 300)):
                set_size(rows, cols)
                await_text(b"told")
                await_text(f"{rows} {cols}".encode())
            os.write(ours, b"\x03")
            assert program.wait(timeout=PATIENCE_S) in (130, FAILED)
        finally:
            program.kill()
            os.close(ours)
            os.close(theirs)


@pytest.mark.parametrize("options", [("-t",), ("-tt",)])
def test_a_terminal_is_there_if_it_is_asked_for(ssh: Ssh, host: str, options: tuple[str, ...]) -> None:
    """Without a terminal of one's own, one `-t` is not enough."""
    said = ssh.text("ssh", "-q", *options, host, "test -t 0 && echo terminal || echo none")
    assert said.split() == ["terminal" if options == ("-tt",) else "none"]


@contextlib.asynccontextmanager
async def open_library(ssh: Ssh, host: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection of another client: OpenSSH's sends no signals."""
    options = dict(line.split(" ", 1) for line in ssh.text("ssh", "-G", host).splitlines())
    async with asyncssh.connect(
        host,
        username="root",
        proxy_command=options["proxycommand"].replace("%n", host).replace("%%", "%"),
        client_keys=[options["identityfile"].strip('"')],
        known_hosts=None,
        config=None,
    ) as connection:
        yield connection


def test_signals_of_the_client_reach_the_command_and_its_end_by_a_signal_is_told(ssh: Ssh, host: str) -> None:
    heard = ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "ALRM", "PIPE", "WINCH", "URG", "CONT")
    traps = "; ".join(f"trap 'echo {name}' {name}" for name in heard)
    command = shlex.join(["bash", "-c", f"{traps}; echo ready; while :; do sleep 0.1; done"])

    async def send() -> list[str]:
        async with open_library(ssh, host) as connection, connection.create_process(command) as process:
            said = [await process.stdout.readline()]
            for name in heard:
                process.send_signal(name)
                said.append(await process.stdout.readline())
            process.kill()
            ended = await process.wait()
            assert ended.exit_signal is not None and ended.exit_signal[0] == "KILL"
            return [str(line).strip() for line in said]

    assert asyncio.run(send()) == ["ready", *heard]


def test_an_end_by_a_signal_has_its_name_or_the_code_of_a_shell(ssh: Ssh, host: str) -> None:
    """RFC 4254 has names for some."""
    names = ("ABRT", "FPE", "ILL", "SEGV", "USR1", "PIPE", "BUS", "SYS", "TRAP", "XCPU", "34")

    async def all_ends() -> list[str | int | None]:
        ends: list[str | int | None] = []
        async with open_library(ssh, host) as connection:
            for name in names:
                ended = await connection.run(f"ulimit -c 0; kill -{name} $$", check=False)
                ends.append(ended.exit_signal[0] if ended.exit_signal else ended.exit_status)
        return ends

    assert asyncio.run(all_ends()) == [*names[:6], 135, 159, 133, 152, 162]


class Reached(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@contextlib.contextmanager
def other_server() -> Iterator[int]:
    """A server of SSH as others have it, on this host: it says who came."""
    loop = asyncio.new_event_loop()

    async def answer(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write(f"{process.get_extra_info('username')}: {process.command}\n")
        process.exit(0)

    async def serve() -> asyncssh.SSHAcceptor:
        key = asyncssh.generate_private_key("ssh-ed25519")
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Reached,
            process_factory=answer,
            server_host_keys=[key],
            config=None,
        )

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(serve(), loop).result(PATIENCE_S)
    yield acceptor.get_port()

    async def end() -> None:
        acceptor.close()
        await acceptor.wait_closed()

    asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE_S)
    loop.close()


def test_a_machine_is_a_jump_host_and_stdin_and_stdout_of_a_client_are_a_connection(
    ssh: Ssh, host: str
) -> None:
    """To a server beyond the machine; here one that the machine reaches through a forward of the client's."""
    port = 7021
    with (
        other_server() as beyond,
        ssh.beside("ssh", "-N", "-o", "ExitOnForwardFailure=yes", f"-R{port}:localhost:{beyond}", host),
    ):

        def greeting() -> bytes:
            return ssh.run("ssh", "-W", f"localhost:{port}", host, stdin=b"SSH-2.0-x\r\n").stdout

        def is_there() -> bool:
            with contextlib.suppress(AssertionError):
                return greeting().startswith(b"SSH-2.0-AsyncSSH")
            return False

        wait_until(is_there, PATIENCE_S, "the server beyond is reached")
        unknown = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        jump = ["-J", host, "-p", str(port), *unknown, "me@localhost"]
        assert ssh.text("ssh", *jump, "from afar") == "me: from afar\n"
