"""SSH to machines that have no server: OpenSSH's own programs, rsync and git against real ones."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shlex
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home, wait_until
from tests.support.openssh import FAILED, PATIENCE_S, Ssh, ask, await_port, carry_program, connect, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DOCUMENT = Path(__file__).parents[2] / "docs/ssh.md"
ECHO = (
    "use IO::Socket; $s = IO::Socket::INET->new(Listen => 9, LocalAddr => '127.0.0.1', LocalPort => 7007,"
    " ReuseAddr => 1) or die; while ($c = $s->accept) { while (sysread $c, $d, 65536) { syswrite $c, $d }"
    " syswrite $c, 'end'; close $c }"
)


def test_a_command_has_its_streams_its_exit_code_and_its_user_s_home(ssh: Ssh, host: str) -> None:
    done = ssh.run("ssh", host, "pwd; echo oops >&2; exit 7", code=7)
    assert (done.stdout, done.stderr) == (b"/root\n", b"oops\n")
    assert ssh.text("ssh", f"nobody@{host}", "id -un; umask") == "nobody\n0022\n"
    assert ssh.text("banger", "ssh", host.removesuffix(".banger"), "echo", "'a  b'") == "a  b\n"


def test_nothing_is_asked_and_nothing_warned_of(ssh: Ssh, host: str) -> None:
    done = ssh.run("ssh", "-o", "BatchMode=yes", host, "true")
    assert done.stdout == done.stderr == b""


def test_bytes_arrive_as_they_are_in_both_directions(ssh: Ssh, host: str) -> None:
    data = os.urandom(6_000_001)
    assert ssh.run("ssh", host, "cat", stdin=data).stdout == data
    assert ssh.text("ssh", host, "sha256sum", stdin=data).split()[0] == hashlib.sha256(data).hexdigest()


def test_a_login_shell_reads_its_lines(ssh: Ssh, host: str) -> None:
    said = ssh.text("ssh", host, stdin=b"echo $0; pwd; shopt -q login_shell && echo login\nexit 0\n")
    assert said.splitlines()[1:] == ["/root", "login"]


def test_a_terminal_has_its_type_its_size_and_its_keys(ssh: Ssh, host: str) -> None:
    command = "stty size; echo $TERM; tty; read line; echo got $line; sleep 60"
    script = ["script", "-qec", f"stty rows 33 cols 99; ssh -tt {host} {shlex.quote(command)}", "/dev/null"]
    env = {**ssh.env, "TERM": "vt100"}
    with subprocess.Popen(script, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None and program.stdout is not None
        said = b""
        while b"/dev/pts/" not in said:
            said += os.read(program.stdout.fileno(), 4096)
        program.stdin.write(b"hello\n")
        program.stdin.flush()
        while b"got hello" not in said:
            said += os.read(program.stdout.fileno(), 4096)
        program.stdin.write(b"\x03")
        program.stdin.flush()
        assert program.wait(timeout=PATIENCE_S) in (130, FAILED)
    assert b"33 99" in said and b"vt100" in said


def test_a_signal_that_ended_the_command_is_told(ssh: Ssh, host: str) -> None:
    done = ssh.run("ssh", "-v", host, "kill -TERM $$", code=FAILED)
    assert b"exit-signal" in done.stderr


def test_a_client_that_leaves_hangs_up(ssh: Ssh, host: str, home: Home, dev: str) -> None:
    with ssh.beside("ssh", host, "echo begun; exec sleep 4711") as program:
        assert program.stdout is not None and program.stdout.readline() == b"begun\n"
    running = [
        "exec",
        dev,
        "--",
        "sh",
        "-c",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[4]711' || true",
    ]
    wait_until(lambda: home.text(*running).strip() == "0", PATIENCE_S, "the command is gone")


def test_variables_of_the_list_arrive_and_no_others(ssh: Ssh, host: str) -> None:
    given = "SetEnv=LC_TEST=grün GIT_PROTOCOL=version=2 EVIL=1"
    said = ssh.text("ssh", "-o", given, host, "env").splitlines()
    assert {"GIT_PROTOCOL=version=2", "LANG=C.UTF-8"} <= set(said)  # the second is the image's
    assert not [line for line in said if line.startswith("EVIL")]


def test_errors_have_words_and_the_exit_code_of_ssh(ssh: Ssh, host: str) -> None:
    done = ssh.run("ssh", f"stranger@{host}", "true", code=FAILED)
    assert b"banger: " in done.stderr and b"stranger" in done.stderr
    done = ssh.run("ssh", "none-such.banger", "true", code=FAILED)
    assert b"no machine named 'none-such'" in done.stderr and b"hint: " in done.stderr
    done = ssh.run("banger", "ssh", "none-such", code=FAILED)
    assert done.stderr.count(b"\n") == 2 and b"no machine named" in done.stderr
    assert ssh.run("ssh", host, "no-such-program", code=127).stderr


def test_another_key_gets_nowhere(ssh: Ssh, host: str) -> None:
    ssh.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh.place / "other"))
    plain = ["-o", "PreferredAuthentications=publickey,password,none", "-o", "BatchMode=yes"]
    other = ssh.config.read_text().split('Include "')[1].split('"')[0]
    text = re.sub(r"IdentityFile .*", f'IdentityFile "{ssh.place}/other"', Path(other).read_text())
    (ssh.place / "config2").write_text(text)
    done = ssh.run("/usr/bin/ssh", "-F", str(ssh.place / "config2"), *plain, host, "true", code=FAILED)
    assert b"Permission denied" in done.stderr


def test_sftp_does_what_people_do_with_it(ssh: Ssh, host: str) -> None:
    data = os.urandom(2_500_000)
    (ssh.place / "a").write_bytes(data)
    batch = b"put a b\nrename b c\nsymlink c l\nchmod 600 c\nget l back\nls -l\nmkdir d\nrmdir d\n-get none\n"
    done = ssh.run("sftp", "-b", "-", host, stdin=batch)
    assert (ssh.place / "back").read_bytes() == data
    assert re.search(rb"-rw------- .* 2500000 .* c\n", done.stdout) and b"lrwxrwxrwx" in done.stdout
    assert (
        ssh.text("ssh", host, "cd /root; sha256sum < c; rm c l").split()[0]
        == hashlib.sha256(data).hexdigest()
    )
    done = ssh.run("sftp", "-b", "-", f"nobody@{host}", stdin=b"put a /root/x\n", code=1)
    assert b"Permission denied" in done.stderr


def test_scp_copies_trees_there_and_back(ssh: Ssh, host: str) -> None:
    tree = ssh.place / "tree/deep"
    tree.mkdir(parents=True)
    (tree / "file").write_bytes(os.urandom(100_000))
    (tree / "file").chmod(0o751)
    ssh.run("scp", "-rpq", "tree", f"{host}:/srv/scp")
    ssh.run("scp", "-rpq", f"{host}:/srv/scp", "back")
    assert (ssh.place / "back/deep/file").read_bytes() == (tree / "file").read_bytes()
    assert (ssh.place / "back/deep/file").stat().st_mode == (tree / "file").stat().st_mode
    ssh.run("ssh", host, "rm -r /srv/scp")


def test_rsync_brings_a_tree_and_then_nothing_more(ssh: Ssh, host: str) -> None:
    carry_program(ssh, host, "rsync")
    tree = ssh.place / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"f{number}").write_bytes(os.urandom(20_000))
    (tree / "link").symlink_to("f1")
    words = ["rsync", "-a", "--stats", "tree/", f"{host}:/srv/rsync/"]
    first, second = ssh.text(*words), ssh.text(*words)
    moved = [re.search(r"files transferred: (\d+)", said) for said in (first, second)]
    assert [one and one[1] for one in moved] == ["40", "0"]
    ssh.run("rsync", "-a", f"{host}:/srv/rsync/", "back/")
    assert all((ssh.place / "back" / path.name).read_bytes() == path.read_bytes() for path in tree.glob("f*"))
    assert os.readlink(ssh.place / "back/link") == "f1"


def test_git_clones_and_pushes(ssh: Ssh, host: str) -> None:
    carry_program(ssh, host, "git", "git-upload-pack", "git-receive-pack")
    ssh.run("ssh", host, "git init -q --bare -b main /srv/repo.git")
    ssh.run("git", "clone", "-q", f"ssh://{host}/srv/repo.git", "work")
    (ssh.place / "work/file").write_bytes(os.urandom(300_000))
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    ssh.run("git", "-C", "work", "add", "file")
    ssh.run("git", "-C", "work", *who, "commit", "-qm", "one")
    ssh.run("git", "-C", "work", "push", "-q", "origin", "HEAD:main")
    ssh.run("git", "clone", "-q", f"{host}:/srv/repo.git", "again")
    assert (ssh.place / "again/file").read_bytes() == (ssh.place / "work/file").read_bytes()


@pytest.fixture
def echo(ssh: Ssh, host: str, home: Home, dev: str) -> int:
    """A port of the machine's loopback that echoes, and says "end" at the end."""
    if "7007" not in home.text("vm", "ports", dev):
        home.text("exec", "-d", dev, "--", "perl", "-e", ECHO)
        wait_until(lambda: "7007" in home.text("vm", "ports", dev), PATIENCE_S, "the guest serves")
    return 7007


def test_a_local_forward_reaches_the_guest_s_loopback(ssh: Ssh, host: str, echo: int) -> None:
    port, closed = free_port(), free_port()
    forwards = [f"-L{port}:localhost:{echo}", f"-L{closed}:localhost:1"]
    with ssh.beside("ssh", "-N", *forwards, host):
        await_port(port)
        data = os.urandom(200_000)
        assert ask(connect(port), data) == data + b"end"
        assert ask(connect(port), b"again") == b"againend"
        with contextlib.suppress(ConnectionResetError):
            assert ask(connect(closed), b"x") == b""


def test_a_dynamic_forward_reaches_what_the_guest_reaches(ssh: Ssh, host: str, echo: int) -> None:
    port = free_port()

    def through(name: bytes, to: int) -> tuple[int, socket.socket]:
        """The status of SOCKS 5, and the connection."""
        connection = connect(port)
        connection.sendall(b"\5\1\0")
        assert connection.recv(2) == b"\5\0"
        connection.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + to.to_bytes(2, "big"))
        return (connection.recv(10) or b"\0\1")[1], connection

    with ssh.beside("ssh", "-N", f"-D{port}", host):
        await_port(port)
        status, connection = through(b"localhost", echo)
        assert status == 0 and ask(connection, b"hi") == b"hiend"
        status, connection = through(b"127.1", echo)  # no name of the machine: a connection that begins in it
        assert status == 0
        with connection:
            connection.sendall(b"hi")
            assert connection.recv(2) == b"hi"
        status, connection = through(b"none.invalid", 80)
        connection.close()
        assert status != 0


def test_a_local_forward_reaches_a_unix_socket_of_the_guest(ssh: Ssh, host: str) -> None:
    serve = (
        "use IO::Socket::UNIX; unlink 's'; $s = IO::Socket::UNIX->new(Local => 's', Listen => 5) or die;"
        " while ($c = $s->accept) { $n = 0; while (sysread $c, $d, 65536) { $n += length $d }"
        " syswrite $c, 'x' x $n; close $c }"
    )
    ssh.run("ssh", host, f"perl -e {shlex.quote(serve)} > /dev/null 2>&1 < /dev/null & echo $! > pid")
    ssh.run("ssh", host, "until test -S s; do sleep 0.2; done")
    port, denied = free_port(), free_port()
    with ssh.beside("ssh", "-N", f"-L{port}:/root/s", f"-L{denied}:/root/none", host):
        await_port(port)
        assert ask(connect(port), b"y" * 700_000) == b"x" * 700_000
        with contextlib.suppress(ConnectionResetError):
            assert ask(connect(denied), b"") == b""
    ssh.run("ssh", host, "kill $(cat pid); rm s pid")


def test_nothing_of_this_host_is_opened_for_a_client(ssh: Ssh, host: str) -> None:
    """What a client forwards to itself listens in the machine, and nothing of its own is forwarded unless it says so. A
    display is forwarded by no means."""
    port = free_port()
    with ssh.beside("ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-R", f"{port}:localhost:1", host):
        ssh.run("ssh", host, f"until grep -qi ':{port:04X} ' /proc/net/tcp; do sleep 0.2; done")
        with pytest.raises(ConnectionRefusedError):
            connect(port)
    ssh.env |= {"DISPLAY": ":1", "SSH_AUTH_SOCK": str(ssh.place / "none")}
    done = ssh.run("ssh", "-Y", host, "echo [$SSH_AUTH_SOCK$DISPLAY]")
    assert done.stdout == b"[]\n" and b"X11 forwarding request failed" in done.stderr


def test_one_connection_carries_many_sessions(ssh: Ssh, host: str) -> None:
    control = ["-o", f"ControlPath={ssh.place}/c", "-o", "ControlMaster=auto"]
    with ssh.beside("ssh", "-N", *control, host):
        wait_until(lambda: (ssh.place / "c").exists(), PATIENCE_S, "the connection is up")
        said = [ssh.text("ssh", *control, host, f"echo {number}") for number in range(5)]
    assert said == [f"{number}\n" for number in range(5)]


def test_keys_are_renewed_amid_a_transfer(ssh: Ssh, host: str) -> None:
    data = os.urandom(4_000_000)
    assert ssh.run("ssh", "-o", "RekeyLimit=300K", host, "cat", stdin=data).stdout == data


def test_the_steps_of_an_editor_s_remote_server(ssh: Ssh, host: str) -> None:
    """Its server is unpacked from stdin, started in the background, and reached by a forward."""
    assert ssh.text("ssh", "-T", host, "bash", stdin=b"uname -sm; echo ready\n") == "Linux x86_64\nready\n"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        entry = tarfile.TarInfo("server/run.pl")
        program = ECHO.replace("7007", "7008").encode()
        entry.size = len(program)
        packed.addfile(entry, io.BytesIO(program))
    ssh.run("ssh", "-T", host, "mkdir -p ~/.remote && tar -xz -C ~/.remote", stdin=archive.getvalue())
    ssh.run(
        "ssh", "-T", host, "cd ~/.remote/server; nohup perl run.pl > log 2>&1 < /dev/null & echo $! > pid"
    )
    port = free_port()
    with ssh.beside("ssh", "-T", f"-L{port}:127.0.0.1:7008", host, "sh") as program_of_shell:
        await_port(port)

        def answers() -> bool:
            with contextlib.suppress(ConnectionResetError):
                return ask(connect(port), b"hi") == b"hiend"
            return False

        wait_until(answers, PATIENCE_S, "the server answers")
        assert program_of_shell.poll() is None
    ssh.run("ssh", "-T", host, "kill $(cat ~/.remote/server/pid); rm -r ~/.remote")


def host_key(ssh: Ssh, host: str) -> str:
    said = ssh.run("ssh", "-v", host, "true").stderr.decode()
    return str(re.findall(r"Server host key: (.*)", said)[0]).strip()


def test_a_stopped_machine_starts_and_keeps_its_host_key_and_a_copy_has_another(
    ssh: Ssh, home: Home, name: str
) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    try:
        before = host_key(ssh, f"{name}.banger")
        (copy,) = home.text("vm", "fork", "--name", f"{name}-b", name).split()
        assert host_key(ssh, f"{copy}.banger") != before
        home.text("rm", "-f", copy)
        home.text("stop", name)
        done = ssh.run("ssh", f"{name}.banger", "hostname")
        assert done.stdout.decode().strip() == name and b"banger: starting " in done.stderr
        assert host_key(ssh, f"{name}.banger") == before
        known = (home.state / "ssh/known_hosts").read_text()
        assert f"{copy}.banger" not in known and f"{name}.banger" in known
    finally:
        home.run("rm", "-f", name, f"{name}-b")


def test_the_document_works_word_by_word(ssh: Ssh, home: Home) -> None:
    """Each line after `$` is run as it stands, in one directory, and prints what stands below it."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    assert len(steps) > 8
    ssh.config.write_text("")
    try:
        for line, expected in steps:
            with open(ssh.place / "stderr", "wb") as stderr:  # of a client in the background, too
                done = subprocess.run(
                    ["bash", "-c", line],
                    env=ssh.env,
                    cwd=ssh.place,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    timeout=PATIENCE_S * 3,
                )
            assert done.returncode == 0, (line, (ssh.place / "stderr").read_text())
            said = done.stdout.decode().replace(str(ssh.config), "~/.ssh/config").splitlines()
            assert said == expected, line
    finally:
        home.run("rm", "-f", "web")
