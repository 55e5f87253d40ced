"""A daemon of another host, as a user has it: the command line and the SDK at the door, with TLS and a token. The host
is this one, but nothing of it is used but the door."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.client.aio import AsyncClient
from banger.client.sync import Client
from banger.errors import Error
from banger.server.certificates import ensure_own
from tests.support.home import IMAGE, Home, open_home, wait_until

pytestmark = pytest.mark.e2e


class Elsewhere:
    """`home` is the daemon's; `text` and so on are the command line of somebody who has only the door."""

    def __init__(self, home: Home, certificate: Path, directory: Path) -> None:
        self.home = home
        self.url = home.json("ui", "--no-open")["url"]
        self.token = home.text("token", "create", "far").strip()
        self.certificate = str(certificate)
        (directory / "token").write_text(self.token + "\n")
        nowhere = directory / "nowhere"  # a home without a daemon: one that is started would be seen
        self.far = Home(nowhere)
        self.far.env |= {
            "BANGER_HOST": self.url,
            "BANGER_TOKEN_FILE": str(directory / "token"),
            "BANGER_CA_FILE": self.certificate,
            "HOME": str(directory),
        }

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return self.far.run(*words, **options)

    def text(self, *words: str, **options: Any) -> str:
        return self.far.text(*words, **options)

    def refused(self, *words: str, **options: Any) -> dict[str, Any]:
        at = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
        done = self.run(*words[:at], "--json", *words[at:], **options)
        assert done.returncode != 0 and b"Traceback" not in done.stderr, done.stderr
        assert self.token.encode() not in done.stderr + done.stdout
        found: dict[str, Any] = json.loads(done.stderr)["error"]
        return found


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    directory = tmp_path_factory.mktemp("elsewhere")
    certificate, key = ensure_own(directory / "tls", ("127.0.0.1", "localhost"))
    with open_home(config=f'[web]\ncertificate = "{certificate}"\nkey = "{key}"\n') as home:
        found = Elsewhere(home, certificate, directory)
        assert found.url.startswith("https://127.0.0.1:")
        yield found
        assert not (found.far.state / "daemon.log").exists(), "a daemon was started here"


def test_machines_run_there(there: Elsewhere, name: str) -> None:
    done = there.run(
        "run", "--rm", "-i", "--network", "none", IMAGE, "--", "sh", "-c", "cat; exit 7", stdin=b"hello"
    )
    assert (done.returncode, done.stdout) == (7, b"hello"), done.stderr
    there.text(
        "run", "-d", "--name", name, "--network", "none", IMAGE, "--", "sh", "-c", "echo up; exec sleep 1000"
    )
    assert name in there.text("ps") and name in there.home.text("ps")
    large = os.urandom(3 << 20)
    copied = there.run("exec", "-i", name, "--", "sha256sum", stdin=large)
    assert copied.stdout.split()[0].decode() == hashlib.sha256(large).hexdigest()
    made = there.run("exec", name, "--", "head", "-c", str(5 << 20), "/dev/zero")
    assert made.stdout == bytes(5 << 20)
    assert json.loads(there.text("inspect", name))[0]["name"] == name
    there.text("rm", "-f", name)
    assert name not in there.home.text("ps", "-a")


def test_files_go_there_and_back(there: Elsewhere, name: str, tmp_path: Path) -> None:
    there.text("run", "-d", "--name", name, "--network", "none", IMAGE, "--", "sleep", "1000")
    large = os.urandom(2 << 20)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/large").write_bytes(large)
    there.text("cp", str(tmp_path / "tree"), f"{name}:/srv")
    there.text("cp", f"{name}:/srv/tree/large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == large
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tmp_path / "tree", "etc")
    there.text("import", "-", "from-afar", stdin=packed.getvalue())
    assert "from-afar" in there.home.text("images")
    there.text("rmi", "from-afar")


def test_what_goes_on_there_is_seen_as_it_happens(there: Elsewhere, name: str) -> None:
    words = "echo one; while ! [ -e /go ]; do sleep 0.1; done; echo two; read line; echo got $line; exec sleep 1000"
    there.text("run", "-d", "-i", "--name", name, "--network", "none", IMAGE, "--", "sh", "-c", words)
    following = there.far.popen("logs", "-f", name, stdout=subprocess.PIPE)
    attached = there.far.popen("attach", name, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert following.stdout is not None and attached.stdin is not None and attached.stdout is not None
        assert following.stdout.readline() == b"one\n"
        there.text("exec", name, "--", "touch", "/go")
        assert following.stdout.readline() == b"two\n"
        attached.stdin.write(b"across\n")
        attached.stdin.flush()
        assert following.stdout.readline() == b"got across\n"
    finally:
        for process in (following, attached):
            process.kill()
            process.communicate()


def test_the_sdk_is_there_too(there: Elsewhere) -> None:
    given: Any = {"host": there.url, "token": there.token, "ca_file": there.certificate}
    client = Client(**given)
    with client.run(IMAGE, network="none") as vm:
        large = os.urandom(1 << 20)
        assert vm.exec(["sha256sum"], stdin=large).stdout.split()[0] == hashlib.sha256(large).hexdigest()
        vm.files.write("/srv/a", large)
        assert vm.files.read("/srv/a", text=False) == large
        name = vm.name

        async def look() -> tuple[str, str]:
            far = AsyncClient(**given)
            found = await far.machine(name)
            async with found.spawn(["cat"]) as process:
                await process.write("across")
                return found.name, (await process.wait()).stdout

        assert asyncio.run(look()) == (name, "across")


def test_a_project_comes_up_there(there: Elsewhere, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        f"services:\n  one:\n    image: {IMAGE}\n    command: sleep 1000\n    network_mode: none\n"
    )
    there.text("up", "-d", "-f", str(file), "-p", "far", timeout_s=120)
    assert "far-one" in there.home.text("ps")
    there.text("down", "-f", str(file), "-p", "far", timeout_s=120)
    assert "far-one" not in there.home.text("ps", "-a")


def test_a_port_of_a_machine_there_is_reached_through_the_door(there: Elsewhere, name: str) -> None:
    serve = "use IO::Socket::IP; my $s = IO::Socket::IP->new(LocalPort => 8000, Listen => 4) or die; "
    serve += 'while (my $c = $s->accept) { print $c "far\\n"; close $c }'
    there.text("run", "-d", "--name", name, IMAGE, "--", "perl", "-e", serve)
    tunnel = there.far.popen("vm", "tunnel", name, "8000", "0", stdout=subprocess.PIPE)
    try:
        assert tunnel.stdout is not None
        port = int(tunnel.stdout.readline().rpartition(b":")[2])

        def answers() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                    return connection.recv(10) == b"far\n"
            except OSError:
                return False

        wait_until(answers, 30, "the tunnel leads to the machine")
    finally:
        tunnel.terminate()
        tunnel.communicate()


def test_ssh_leads_there(there: Elsewhere, name: str) -> None:
    there.text("run", "-d", "--name", name, "--network", "none", IMAGE, "--", "sleep", "1000")
    assert there.text("ssh", name, "echo", "far") == "far\n"


def test_what_cannot_be_done_from_afar_is_refused_in_words(
    there: Elsewhere, name: str, tmp_path: Path
) -> None:
    refused = there.refused
    (tmp_path / "root").mkdir()
    for words in (
        ["run", "-v", f"{tmp_path}:/x", IMAGE],
        ["create", "--name", name, "-v", f"{tmp_path}:/x", IMAGE],
        ["create", "--name", name, f"rootfs:{tmp_path}/root"],
        ["token", "create", "another"],
        ["ui", "--no-open"],
    ):
        error = refused(*words)
        assert error["code"] == "not_permitted" and error["hint"], (words, error)
    for words in (["system", "start"], ["system", "restart"], ["doctor"]):
        error = refused(*words)
        assert error["code"] == "unsupported" and "BANGER_HOST" in error["message"], (words, error)
    assert name not in there.home.text("ps", "-a")


def test_wrong_certificates_tokens_and_hosts_are_refused_in_words(there: Elsewhere, tmp_path: Path) -> None:
    other, _ = ensure_own(tmp_path / "other", ("127.0.0.1",))
    error = there.refused("ps", env={"BANGER_CA_FILE": str(other)})
    assert error["code"] == "tls_failed" and "self-signed" in error["message"].replace(" ", "-")
    error = there.refused("ps", env={"BANGER_TOKEN": "banger_x"})
    assert error["code"] == "not_logged_in"
    error = there.refused("ps", env={"BANGER_HOST": "http://192.0.2.7:1"})
    assert error["code"] == "bad_request" and "TLS" in error["message"]
    error = there.refused("ps", env={"BANGER_HOST": "tcp://192.0.2.7:1"})
    assert error["code"] == "bad_request"


def test_the_option_names_a_host_for_one_command(there: Elsewhere) -> None:
    env = {"BANGER_HOST": "https://127.0.0.1:1"}
    assert there.run("ps", env=env).returncode == 125
    for words in (
        ["-H", there.url],
        ["--host", there.url],
        [f"--host={there.url}"],
        ["--debug", "-H", there.url],
    ):
        assert there.run(*words, "ps", env=env).returncode == 0
    assert there.run("-H").returncode == 2 and there.run("--host=", "ps").returncode == 2


def test_nobody_sees_the_token(there: Elsewhere, name: str) -> None:
    running = there.far.popen(
        "run", "--rm", "--name", name, "--network", "none", IMAGE, "--", "sleep", "1000"
    )
    try:
        wait_until(lambda: name in there.home.text("ps"), 60, "it runs")
        seen = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, check=True).stdout
        assert there.token.encode() not in seen
    finally:
        running.terminate()
        running.communicate()
    logs = [
        *there.home.state.rglob("*.log"),
        *there.home.state.glob("banger.db*"),
        there.home.state / "daemon.lock",
    ]
    assert logs and not [path for path in logs if path.exists() and there.token.encode() in path.read_bytes()]


def test_a_daemon_that_leaves_is_told_of_at_once(there: Elsewhere) -> None:
    """The socket of the door closes; nothing waits for a time-out."""
    with pytest.raises(Error) as caught:
        begun = time.monotonic()
        Client(host="https://127.0.0.1:9", token=there.token, ca_file=there.certificate).machines.list()
    assert caught.value.code == "daemon_unreachable" and time.monotonic() - begun < 20
    assert threading.active_count() < 50
