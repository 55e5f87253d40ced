"""Connections that begin in a machine and lead to the client of SSH: `ssh -R` and `ssh -A`."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home, wait_until
from tests.support.openssh import FAILED, PATIENCE_S, Ssh, carry_program, free_port, have_openssh

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# In the guest: sends stdin to a port or a Unix socket, says that it ends, and prints the answer.
ASK = (
    "use IO::Socket; $s = $ARGV[0] =~ m{^/} ? IO::Socket::UNIX->new($ARGV[0]) : IO::Socket::INET->new($ARGV[0]);"
    ' $s or die "nobody: $!\n"; while (sysread STDIN, $d, 65536) { while (length $d)'
    " { defined($n = syswrite $s, $d) or die; $d = substr $d, $n } }"
    " shutdown $s, 1; while (sysread $s, $d, 65536) { syswrite STDOUT, $d }"
)


@pytest.fixture
def service() -> Iterator[int]:
    """A port of this host that reads all, and then returns it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_all, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def serve_all(listener: socket.socket) -> None:
    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.sendall(b"".join(iter(lambda: connection.recv(65536), b"")))

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def asking(to: str) -> str:
    return f"perl -e {shlex.quote(ASK)} {to}"


@contextlib.contextmanager
def forwarding(ssh: Ssh, host: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """`ssh -N` with all its forwards, which are there when this begins."""
    flags = ["-o", "ExitOnForwardFailure=yes", "-o", f"ControlPath={ssh.place}/reverse", "-M", "-N"]
    path = ssh.place / "reverse"
    with ssh.beside("ssh", *flags, *words, host) as program:
        wait_until(lambda: path.exists() or program.poll() is not None, PATIENCE_S, "ssh has connected")
        ssh.run(*master(ssh), host, "true")
        assert program.poll() is None
        yield program
    path.unlink(missing_ok=True)


def master(ssh: Ssh) -> list[str]:
    return ["ssh", "-o", f"ControlPath={ssh.place}/reverse"]


def allocated(ssh: Ssh, host: str, target: str) -> int:
    """A port of the machine's own choice for a connection that there is."""
    return int(ssh.text(*master(ssh), "-O", "forward", "-R", f"0:{target}", host))


def listens(home: Home, machine: str, port: int) -> bool:
    return re.search(rf"\b{port}\b", home.text("vm", "ports", machine)) is not None


def test_a_port_of_the_machine_leads_to_a_service_of_the_client(
    ssh: Ssh, host: str, home: Home, dev: str, service: int
) -> None:
    data = os.urandom(1_000_001)
    with forwarding(ssh, host):
        port = allocated(ssh, host, f"localhost:{service}")
        assert listens(home, dev, port)
        assert ssh.run("ssh", host, asking(f"127.0.0.1:{port}"), stdin=data).stdout == data
        assert ssh.text("ssh", f"nobody@{host}", asking(f"localhost:{port}"), stdin=b"again") == "again"
        several = f"for i in 1 2 3 4 5 6 7 8; do echo $i | {asking(f'127.0.0.1:{port}')} & done; wait"
        assert sorted(ssh.text("ssh", host, several).split()) == [*"12345678"]
    wait_until(lambda: not listens(home, dev, port), PATIENCE_S, "the port is closed")


def test_a_unix_socket_of_the_machine_is_its_user_s_and_goes_with_the_connection(
    ssh: Ssh, host: str, service: int
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(ssh.place / "here"))
        listener.listen()
        threading.Thread(target=serve_all, args=(listener,), daemon=True).start()
        forwards = [f"-R/tmp/there:{ssh.place}/here", f"-R/root/other:localhost:{service}"]
        with forwarding(ssh, f"nobody@{host}", "-R/tmp/mine:localhost:1"):
            assert ssh.text("ssh", host, "stat -c '%a %U %F' /tmp/mine") == "600 nobody socket\n"
        with forwarding(ssh, host, *forwards):
            assert ssh.text("ssh", host, asking("/tmp/there"), stdin=b"hi") == "hi"
            assert ssh.text("ssh", host, asking("/root/other"), stdin=b"ho") == "ho"
            done = ssh.run("ssh", f"nobody@{host}", asking("/tmp/there"), code=13)
            assert b"nobody: Permission denied" in done.stderr
        listener.shutdown(socket.SHUT_RDWR)
    gone = "until ! test -e /tmp/there && ! test -e other && ! test -e /tmp/mine; do sleep 0.2; done"
    ssh.run("ssh", host, gone)


def test_what_cannot_listen_is_refused_with_a_reason(ssh: Ssh, host: str) -> None:
    strict = ["ssh", "-o", "ExitOnForwardFailure=yes"]
    done = ssh.run(*strict, "-R", "80:localhost:1", f"nobody@{host}", "true", code=FAILED)
    assert b"banger: cannot listen in the machine: localhost port 80: Permission denied" in done.stderr
    ssh.run("ssh", host, "touch /tmp/taken")
    done = ssh.run(*strict, "-R", "/tmp/taken:localhost:1", host, "true", code=FAILED)
    assert b"banger: cannot listen in the machine: /tmp/taken: Address in use" in done.stderr
    said = ssh.run(
        "ssh", "-R", "/none/s:localhost:1", host, "echo all the same"
    )  # without strictness a warning
    assert said.stdout == b"all the same\n" and b"No such file or directory" in said.stderr


def test_where_the_client_has_nothing_the_machine_is_told(ssh: Ssh, host: str) -> None:
    with forwarding(ssh, host):
        port = allocated(ssh, host, f"localhost:{free_port()}")
        done = ssh.run("ssh", host, f"{asking(f'127.0.0.1:{port}')}; echo over", stdin=b"hi")
        assert done.stdout == b"over\n"


def test_a_forward_that_is_cancelled_closes_and_its_connections_go_on(
    ssh: Ssh, host: str, home: Home, dev: str, service: int
) -> None:
    with forwarding(ssh, host):
        forward = ["-R", f"{(port := 7019)}:localhost:{service}", host]
        ssh.run(*master(ssh), "-O", "forward", *forward)
        with ssh.beside("ssh", host, asking(f"127.0.0.1:{port}")) as begun:
            assert begun.stdin is not None and begun.stdout is not None
            begun.stdin.write(b"begun, ")
            begun.stdin.flush()
            connected = f"grep -qi ':{port:04X} .* 01 ' /proc/net/tcp"
            ssh.run("ssh", host, f"until {connected}; do sleep 0.2; done")
            ssh.run(*master(ssh), "-O", "cancel", *forward)
            wait_until(lambda: not listens(home, dev, port), PATIENCE_S, "the port is closed")
            begun.stdin.write(b"and ended")
            begun.stdin.close()
            assert begun.stdout.read() == b"begun, and ended"


def test_a_remote_proxy_leads_where_the_client_leads(ssh: Ssh, host: str, service: int) -> None:
    """`-R PORT` alone: the client speaks SOCKS with the machine."""
    name = "localhost"
    greeting = f"\\5\\1\\0\\5\\1\\0\\3\\{len(name):o}{name}\\{service >> 8:o}\\{service & 255:o}hello"
    with forwarding(ssh, host):
        port = int(ssh.text(*master(ssh), "-O", "forward", "-R", "0", host))
        said = ssh.run("ssh", host, f"printf '{greeting}' | {asking(f'127.0.0.1:{port}')}")
        assert said.stdout.startswith(b"\5\0\5\0") and said.stdout.endswith(b"hello")


def test_a_copy_of_the_machine_and_a_new_daemon_have_no_listener_of_a_client_that_is_not_theirs(
    own_home: Home, tmp_path: Path, service: int
) -> None:
    have_openssh()
    ssh, host = Ssh(own_home, tmp_path), "one.banger"
    own_home.text("run", "-d", "--name", "one", IMAGE)
    with forwarding(ssh, host):
        port = allocated(ssh, host, f"localhost:{service}")
        (copy,) = own_home.text("vm", "fork", "one").split()
        wait_until(lambda: not listens(own_home, copy, port), PATIENCE_S, "the copy does not listen")
        assert ssh.text("ssh", host, asking(f"127.0.0.1:{port}"), stdin=b"hi") == "hi"
        os.kill(own_home.daemon_pid(), signal.SIGKILL)
        wait_until(lambda: not listens(own_home, "one", port), PATIENCE_S, "the port is closed")


@pytest.fixture
def agent(ssh: Ssh) -> Iterator[str]:
    """An agent of this host with a key; its fingerprint."""
    path = str(ssh.place / "agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as program:
        try:
            wait_until(lambda: Path(path).exists(), PATIENCE_S, "the agent is there")
            ssh.env["SSH_AUTH_SOCK"] = path
            ssh.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
            ssh.run("ssh-add", "-q", "key")
            yield ssh.text("ssh-keygen", "-lf", "key").split()[1]
        finally:
            program.kill()


def test_an_agent_is_there_for_the_session_that_asks_and_for_its_user(
    ssh: Ssh, host: str, agent: str
) -> None:
    carry_program(ssh, host, "ssh-add")
    said = ssh.text(
        "ssh",
        "-A",
        host,
        "ssh-add -l; stat -c '%a %U' $SSH_AUTH_SOCK ${SSH_AUTH_SOCK%/*}; echo $SSH_AUTH_SOCK",
    )
    listed, socket_mode, directory_mode, path = said.splitlines()
    assert agent in listed and (socket_mode, directory_mode) == ("600 root", "700 root")
    ssh.run("ssh", host, f"until ! test -e {path} && ! test -e {path.rpartition('/')[0]}; do sleep 0.2; done")
    assert agent in ssh.text("ssh", "-A", f"nobody@{host}", "ssh-add -l; stat -c %U $SSH_AUTH_SOCK")
    assert ssh.text("ssh", host, "echo [$SSH_AUTH_SOCK]") == "[]\n"


def test_an_agent_of_one_session_is_not_that_of_another(ssh: Ssh, host: str, agent: str) -> None:
    carry_program(ssh, host, "ssh-add")
    with forwarding(ssh, host, "-A"):
        shared = master(ssh)
        with ssh.beside(*shared, "-A", host, "echo $SSH_AUTH_SOCK; cat") as first:
            assert first.stdin is not None and first.stdout is not None
            path = first.stdout.readline().decode().strip()
            assert ssh.text(*shared, host, "echo [$SSH_AUTH_SOCK]") == "[]\n"
            other = ssh.text(*shared, "-A", host, "echo $SSH_AUTH_SOCK; ssh-add -l").splitlines()
            assert other[0] not in ("", path) and agent in other[1]
            asked = ["ssh", f"nobody@{host}", f"SSH_AUTH_SOCK={path} ssh-add -l"]
            assert b"Permission denied" in ssh.run(*asked, code=2).stderr
            assert agent in ssh.text("ssh", host, f"SSH_AUTH_SOCK={path} ssh-add -l")  # root of the guest may
            first.stdin.close()
            first.wait(timeout=PATIENCE_S)
        ssh.run("ssh", host, f"until ! test -e {path}; do sleep 0.2; done")


def test_a_key_of_the_agent_signs_in_the_machine(ssh: Ssh, host: str, agent: str) -> None:
    carry_program(ssh, host, "ssh-keygen")
    public = (ssh.place / "key.pub").read_bytes()
    sign = "ssh-keygen -q -Y sign -f /tmp/key.pub -n file /tmp/text"
    command = f"cat > /tmp/key.pub; echo text > /tmp/text; {sign}; cat /tmp/text.sig"
    signature = ssh.run("ssh", "-A", host, command, stdin=public).stdout
    (ssh.place / "sig").write_bytes(signature)
    (ssh.place / "allowed").write_bytes(b"me " + public)
    ssh.run(
        "ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "me", "-n", "file", "-s", "sig", stdin=b"text\n"
    )
    ssh.run("ssh", host, "rm /tmp/key.pub /tmp/text*")


def test_without_a_place_for_its_socket_a_session_has_no_agent_and_says_so(
    ssh: Ssh, host: str, agent: str
) -> None:
    closed = "chmod 755 /tmp /dev/shm /run /var/tmp"
    ssh.run("ssh", host, closed)
    try:
        done = ssh.run("ssh", "-A", f"nobody@{host}", "echo [$SSH_AUTH_SOCK]")
        assert done.stdout == b"[]\n" and b"banger: no agent in the machine: " in done.stderr
    finally:
        ssh.run("ssh", host, "chmod 1777 /tmp /dev/shm /var/tmp")
