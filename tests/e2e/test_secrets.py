"""Secrets in real machines: where a value is, and all the places where it must not be."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from banger.client.sync import Client
from tests.support.home import IMAGE, REPOSITORY, Home, alive, open_home, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DOCUMENT = REPOSITORY / "docs/secrets.md"
KEY_FILE = "secrets.key"


def put(home: Home, name: str, value: bytes) -> None:
    assert home.text("secret", "set", name, stdin=value) == f"{name}\n"


def complaint_of(home: Home, *words: str) -> str:
    """Of a verb whose last words are for the guest."""
    done = home.run(*words)
    assert done.returncode != 0, done.stdout
    return " ".join(done.stderr.decode().split())


def error_of(home: Home, *words: str) -> dict[str, Any]:
    done = home.run(*words, "--json")
    assert done.returncode != 0, done.stdout
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])["error"]
    return found


@pytest.fixture(scope="module")
def safe() -> Iterator[Home]:
    with open_home(own_images=True) as home:
        put(home, "word", b"from the store")
        yield home


@pytest.fixture(scope="module")
def guest(safe: Home) -> str:
    """A machine with the secret as a file of its user, as a file elsewhere, and as a variable."""
    words = ("--secret", "word", "--secret", "word=file:/srv/deep/key", "--secret", "word=env:WORD")
    command = ("sh", "-c", 'echo "main has $WORD"; exec sleep 1000')
    safe.text("run", "-d", "--name", "guest", "-u", "daemon", *words, IMAGE, "--", *command)
    return "guest"


def sh(home: Home, machine: str, script: str, user: str = "root") -> str:
    return home.text("exec", "-u", user, machine, "--", "sh", "-c", script)


def test_a_file_is_in_memory_and_belongs_to_the_user_of_the_command(safe: Home, guest: str) -> None:
    assert sh(safe, guest, "cat /run/secrets/word", "daemon") == "from the store"
    assert sh(safe, guest, "stat -c '%U %a' /run/secrets/word") == "daemon 400\n"
    assert sh(safe, guest, "stat -f -c %T /run/secrets/word /srv/deep/key") == "tmpfs\ntmpfs\n"
    assert safe.run("exec", "-u", "nobody", guest, "--", "cat", "/run/secrets/word").returncode == 1
    for script in ("echo x >/run/secrets/word", "chmod 666 /run/secrets/word", "touch /run/secrets/new"):
        done = safe.run("exec", "-u", "daemon", guest, "--", "sh", "-c", script)
        assert done.returncode != 0, script
    assert safe.run("exec", guest, "--", "touch", "/run/secrets/new").returncode == 1


def test_a_path_is_the_same_file_and_the_disk_has_an_empty_one(safe: Home, guest: str) -> None:
    assert sh(safe, guest, "cat /srv/deep/key", "daemon") == "from the store"
    assert sh(safe, guest, "mount --bind / /mnt && stat -c %s /mnt/srv/deep/key && umount /mnt") == "0\n"
    assert "srv/deep/key" in safe.text("diff", guest)


def test_a_variable_is_in_every_command_of_the_machine_and_shown_nowhere(safe: Home, guest: str) -> None:
    assert safe.text("logs", guest) == "main has from the store\n"
    assert sh(safe, guest, 'echo "$WORD"', "nobody") == "from the store\n"
    assert safe.text("exec", "-e", "WORD=mine", guest, "--", "printenv", "WORD") == "mine\n"
    shown = [safe.text("vm", "show", guest, "--show-env")]
    shown += [
        safe.text("vm", "show", guest, "--json", "--show-env"),
        safe.text("inspect", "--show-env", guest),
    ]
    shown += [safe.text("ps", "--json"), safe.text("vm", "execs", guest, "--json"), safe.text("events")]
    assert not [text for text in shown if "from the store" in text]
    assert '"name": "word"' in shown[2]
    assert f"{guest} was given the secret word" in shown[-1]


@pytest.mark.parametrize(
    "value",
    [b"", b"\n", b"two\nlines\n", bytes(range(256)), os.urandom(512 * 1024)],
    ids=["nothing", "a newline", "lines", "all bytes", "512 KiB"],
)
def test_a_file_has_the_bytes_that_were_set(safe: Home, value: bytes) -> None:
    put(safe, "bytes", value)
    done = safe.run("run", "--rm", "--secret", "bytes", IMAGE, "--", "cat", "/run/secrets/bytes", check=True)
    assert done.stdout == value


def test_values_that_cannot_be_are_refused_by_name(safe: Home) -> None:
    error = json.loads(
        safe.run("secret", "set", "large", "--json", stdin=bytes(512 * 1024 + 1)).stderr.splitlines()[-1]
    )["error"]
    assert error["code"] == "payload_too_large"
    with pytest.raises(Exception, match="512 KiB"):
        client_of(safe).secrets.set("large", bytes(512 * 1024 + 1))
    put(safe, "binary", b"a\0b")
    said = complaint_of(safe, "run", "-d", "--secret", "binary=env", IMAGE, "--", "true")
    assert "the secret binary cannot be used like that: a variable cannot have a zero byte" in said
    assert "--secret binary=file" in said
    put(safe, "long", b"x" * 131_072)
    assert "128 KiB" in complaint_of(safe, "run", "-d", "--secret", "long=env", IMAGE, "--", "true")


def client_of(home: Home) -> Client:
    return Client(str(home.run_directory / "banger.sock"))


def test_a_word_that_may_be_a_value_is_refused_and_not_repeated(safe: Home) -> None:
    for words in (
        ("secret", "set", "word", "CANARY"),
        ("run", "--secret", "word=CANARY", IMAGE),
        ("run", "--secret", "word,value=CANARY", IMAGE),
    ):
        done = safe.run(*words)
        assert done.returncode == 2 and b"CANARY" not in done.stdout + done.stderr
    assert safe.text("run", "--rm", "--secret", "word", IMAGE, "--", "cat", "/run/secrets/word")


def test_an_unknown_secret_makes_no_machine(safe: Home) -> None:
    before = safe.text("ps", "-q")
    for words in (("run", "-d"), ("create",)):
        said = complaint_of(safe, *words, "--secret", "never-set", IMAGE)
        assert "there is no secret 'never-set'" in said
    assert safe.text("ps", "-q") == before


def test_owner_mode_and_path_may_be_chosen_also_on_a_read_only_root(safe: Home) -> None:
    words = ("--secret", "word,uid=7,gid=8,mode=0440,target=sub/name", "--secret", "word=file:/opt/key")
    script = "stat -c '%u:%g %a' /run/secrets/sub/name && cat /opt/key && ! touch /x 2>/dev/null"
    said = safe.text("run", "--rm", "--read-only", *words, IMAGE, "--", "sh", "-c", script)
    assert said == "7:8 440\nfrom the store"


def test_each_start_has_the_value_of_its_time(safe: Home, name: str) -> None:
    put(safe, "changes", b"one")
    script = 'echo "$V $(cat /run/secrets/changes)"; exec sleep 1000'
    words = ("--secret", "changes", "--secret", "changes=env:V")
    safe.text("run", "-d", "--name", name, *words, IMAGE, "--", "sh", "-c", script)
    put(safe, "changes", b"two")
    assert sh(safe, name, 'echo "$V $(cat /run/secrets/changes)"') == "one one\n"
    safe.text("restart", "-t", "0", name)
    assert sh(safe, name, 'echo "$V $(cat /run/secrets/changes)"') == "two two\n"
    os.kill(pid := safe.daemon_pid(), 9)
    wait_until(lambda: not alive(pid), 15, "the daemon is gone")
    assert sh(safe, name, 'echo "$V $(cat /run/secrets/changes)"') == "two two\n"
    error = error_of(safe, "secret", "delete", "changes")
    assert error["code"] == "in_use" and name in error["message"]
    safe.text("secret", "delete", "--force", "changes")
    safe.text("stop", "-t", "0", name)
    assert error_of(safe, "start", name)["code"] == "secret_not_found"
    shown = safe.json("vm", "show", name)
    assert shown["state"] == "failed" and shown["ending"]["code"] == "secret_not_found"
    put(safe, "changes", b"three")
    safe.text("start", name)
    assert sh(safe, name, 'echo "$V $(cat /run/secrets/changes)"') == "three three\n"
    safe.text("rm", "-f", name)


def test_a_lost_key_and_a_changed_byte_are_named_at_the_start(own_home: Home, name: str) -> None:
    put(own_home, "word", b"x")
    own_home.text("create", "--name", name, "--secret", "word", IMAGE, "--", "true")
    key = own_home.state / KEY_FILE
    kept = key.read_bytes()
    key.unlink()
    error = error_of(own_home, "start", name)
    assert error["code"] == "secret_key_lost" and str(key) in error["message"] and error["hint"]
    key.write_bytes(kept)
    key.chmod(0o600)
    with sqlite3.connect(own_home.state / "banger.db") as raw:
        raw.execute(
            "UPDATE secrets SET sealed = CAST(substr(sealed, 1, 30) || x'0000' || substr(sealed, 33) AS BLOB)"
        )
    raw.close()
    assert error_of(own_home, "start", name)["code"] == "secret_damaged"
    put(own_home, "word", b"y")
    own_home.text("start", name)


def test_memory_with_secrets_is_not_copied_unless_asked(safe: Home, guest: str) -> None:
    for words in (("snapshot", guest, "tag"), ("fork", guest)):
        error = error_of(safe, *words)
        assert error["code"] == "unsupported" and "secrets in its memory" in error["message"]
    (copy,) = safe.text("fork", "--with-secrets", guest).split()
    assert sh(safe, copy, 'cat /run/secrets/word; echo " $WORD"') == "from the store from the store\n"
    assert safe.json("secret", "show", "word")["machines"] == [guest, copy]
    safe.text("rm", "-f", copy)
    assert not [*(safe.state / "snapshots").glob("*")]


def test_a_committed_image_has_no_secret(safe: Home, guest: str) -> None:
    safe.text("commit", guest, "of-guest")
    script = "ls -A /run/secrets 2>&1; stat -c %s /srv/deep/key; env"
    said = safe.text("run", "--rm", "of-guest", "--", "sh", "-c", script)
    assert "from the store" not in said and "\n0\n" in said and "No such file" in said
    disk = safe.text("image", "show", "of-guest", "--json")
    assert "from the store" not in disk
    safe.text("rmi", "of-guest")


def test_who_may_only_read_does_not_read_files_of_a_machine_with_secrets(safe: Home, guest: str) -> None:
    url = safe.json("ui", "--no-open")["url"]
    reader, writer = (
        safe.text("token", "create", *words).strip() for words in (("r", "--read-only"), ("w",))
    )

    def get(token: str, target: str) -> tuple[int, bytes]:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    files = f"/v1/machines/{guest}/files?path=/run/secrets/word"
    status, said = get(reader, files)
    assert status == 403 and b"not_permitted" in said and b"from the store" not in said
    assert b"from the store" in get(writer, files)[1]
    for token in (reader, writer):
        status, said = get(token, "/v1/secrets")
        assert status == 200 and b'"word"' in said and b"from the store" not in said
        assert b"from the store" not in get(token, "/v1/secrets/word")[1]


def test_with_an_init_of_the_image_secrets_are_there_for_the_command_and_outlive_the_agent(
    safe: Home, name: str
) -> None:
    words = ["--secret", "word", "--secret", "word=env:WORD", "--memory", "768MiB"]
    words += ["--init", "image", "--boot-timeout", "5m"]
    safe.text("run", "-d", "--name", name, *words, IMAGE, "--", "sleep", "1000", timeout_s=500)
    script = 'cat /run/secrets/word; echo " $WORD"'
    assert sh(safe, name, script) == "from the store from the store\n"
    kill = "for p in /proc/[0-9]*; do read n <$p/comm; [ $n = banger-agent ] && kill -9 ${p#/proc/}; done"
    safe.run("exec", name, "--", "sh", "-c", kill)
    wait_until(lambda: safe.run("exec", name, "--", "true").returncode == 0, 60, "another agent answers")
    assert sh(safe, name, script) == "from the store from the store\n"
    safe.text("rm", "-f", name)


def test_process_1_of_its_own_has_secrets_too(safe: Home, name: str) -> None:
    words = ("--init", "entrypoint", "--secret", "word", "--secret", "word=env:WORD")
    safe.text("run", "-d", "--name", name, *words, IMAGE, "--", "sleep", "1000")
    assert sh(safe, name, 'cat /run/secrets/word; echo " $WORD"') == "from the store from the store\n"
    safe.text("rm", "-f", name)


def test_the_sdk_sets_and_gives_secrets(safe: Home) -> None:
    client = client_of(safe)
    made = client.secrets.set("sdk", "wörd", {"team": "shop"})
    assert made.labels == {"team": "shop"} and not hasattr(made, "value")
    use = {"name": "sdk", "kind": "env", "target": "WORD"}
    with client.run(IMAGE, secrets=[use, {"name": "sdk"}]) as vm:
        assert vm.exec(["printenv", "WORD"]).stdout == "wörd\n"
        assert vm.files.read("/run/secrets/sdk") == "wörd"
        assert client.secrets.get("sdk").machines == (vm.name,)
    client.secrets.delete("sdk")
    assert "sdk" not in [secret.name for secret in client.secrets.list()]


COMPOSE = """
services:
  web:
    image: debian-bookworm
    command: [sleep, "1000"]
    secrets: [from_file, {source: from_here, target: /etc/key, mode: 0440}]
secrets:
  from_file: {file: ./value}
  from_here: {environment: VALUE}
"""


def test_a_compose_file_has_secrets(safe: Home, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(b"of a file")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    project = ("-f", str(tmp_path / "compose.yaml"), "-p", "hold")
    safe.text("compose", "up", "-d", *project, env={"VALUE": "of here"}, timeout_s=400)
    script = "cat /run/secrets/from_file; cat /etc/key; stat -c ' %a' /etc/key"
    assert safe.text("compose", "exec", *project, "web", "--", "sh", "-c", script) == "of a fileof here 440\n"
    shown = safe.text("compose", "config", *project, "--show-env", "--json", env={"VALUE": "of here"})
    assert "of here" not in shown and "hold-from_here" in shown
    safe.text("compose", "down", *project)
    assert "hold-" not in safe.text("secret", "list")


class Watch(threading.Thread):
    """Looks again and again at the command lines and environments of all processes of this host."""

    def __init__(self, needle: bytes) -> None:
        super().__init__()
        self.needle = needle
        self.found: set[str] = set()
        self.looks = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for entry in filter(str.isdigit, os.listdir("/proc")):
                for name in ("cmdline", "environ"):
                    try:
                        if self.needle in Path(f"/proc/{entry}/{name}").read_bytes():
                            self.found.add(f"{name} of {Path(f'/proc/{entry}/comm').read_text()}")
                    except OSError:
                        continue
            self.looks += 1
            time.sleep(0.02)

    def end(self) -> None:
        self.done.set()
        self.join()


def files_with(needle: bytes, *directories: Path) -> list[str]:
    """The files below, through links, that contain the needle, also disks and memories. The needle is on stdin, not in
    a command line."""
    argv = ["grep", "-RlaFs", "--devices=skip", "-f", "-", *map(str, directories)]
    done = subprocess.run(argv, input=needle, capture_output=True, timeout=300)
    assert done.returncode in (0, 1, 2), done.stderr
    return done.stdout.decode().splitlines()


def test_a_value_is_nowhere_on_the_host_but_in_the_machine(name: str) -> None:
    canary, control = f"canary-{os.urandom(12).hex()}", f"control-{os.urandom(12).hex()}"
    with open_home(own_images=True, own_templates=True, pool=1) as home:
        home.env["BANGER_LOG"] = "debug"
        watch = Watch(canary.encode())
        watch.start()
        put(home, "held", canary.encode())
        words = ("--secret", "held", "--secret", "held=file:/etc/key", "--secret", "held=env:HELD")
        command = ("sh", "-c", 'test "$HELD" = "$(cat /etc/key)" && sync && exec sleep 1000')
        home.text("run", "-d", "--name", name, *words, "-e", f"CONTROL={control}", IMAGE, "--", *command)
        assert sh(home, name, "cat /run/secrets/held") == canary
        assert sh(home, name, "printenv HELD") == f"{canary}\n"
        home.text("commit", name, "copied")
        home.run("snapshot", name, "tag")
        home.run("fork", name)
        places = (home.directory, home.run_directory)
        assert files_with(control.encode(), *places), "the search finds what is there"
        wait_until(lambda: home.json("template", "list"), 60, "there is a template")
        assert not files_with(canary.encode(), *places)
        home.text("restart", "-t", "0", name)
        home.text("pause", name)
        home.text("resume", name)
        answers = [
            home.text("events", "--json"),
            home.text("operation", "list", "--json"),
            home.text("info", "--json"),
        ]
        answers += [
            home.text("secret", "inspect", "held"),
            home.text("vm", "show", name, "--json", "--show-env"),
        ]
        assert not [text for text in answers if canary in text]
        # What started before or after a machine with a secret has nothing of it.
        other = home.text(
            "run", "--rm", IMAGE, "--", "sh", "-c", "ls /run/secrets; env; grep -rs canary- /run /etc; :"
        )
        assert "canary-" not in other
        home.text("stop", name)
        assert not files_with(canary.encode(), *places)
        home.text("rm", name)
        home.text("rmi", "copied")
        home.text("secret", "delete", "held")
        assert not files_with(canary.encode(), *places)
        watch.end()
        assert watch.looks > 10 and not watch.found
        limit = Path(f"/proc/{home.daemon_pid()}/limits").read_text()
        assert any(
            line.split()[-3:] == ["1", "1", "bytes"] for line in limit.splitlines() if "core file" in line
        )


def steps() -> list[tuple[str, list[str]]]:
    """The commands of the page, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in DOCUMENT.read_text().split("```console\n")[1:]:
        for line in block.partition("```")[0].splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_the_page_is_true_word_by_word(tmp_path: Path) -> None:
    with open_home(own_images=True) as home:
        program = tmp_path / "bin/banger"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\nexec " + " ".join(home.argv()) + ' "$@"\n')
        program.chmod(0o755)
        env = {
            **home.env,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY / "src"),
        }
        assert len(steps()) > 8
        for line, expected in steps():
            done = subprocess.run(
                ["bash", "-c", line], env=env, cwd=tmp_path, capture_output=True, timeout=180
            )
            said = (done.stderr if done.returncode else done.stdout).decode().splitlines()
            assert said == expected, (line, said)
