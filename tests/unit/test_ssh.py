"""SSH: keys, what OpenSSH is told, and what a client may ask for."""

from __future__ import annotations

import inspect
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest

from banger.errors import Error
from banger.ssh import config
from banger.ssh.channel import Channel
from banger.ssh.guest import choose_variables, is_own, split_words
from banger.ssh.identity import Identity, ensure_identity, keep_lines, public_text


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Identity:
    monkeypatch.setenv("BANGER_HOME", str(tmp_path / "home"))
    return ensure_identity()


def test_keys_are_made_once_and_for_their_user_alone(identity: Identity) -> None:
    made = {path.name: path.read_bytes() for path in Path(identity.directory).iterdir()}
    assert {"id_ed25519", "id_ed25519.pub", "secret"} <= set(made)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in Path(identity.directory).iterdir())
    assert stat.S_IMODE(os.stat(identity.directory).st_mode) == 0o700
    ensure_identity()
    assert {path.name: path.read_bytes() for path in Path(identity.directory).iterdir()} == made


def test_a_machine_keeps_its_host_key_and_shares_it_with_no_other(identity: Identity) -> None:
    keys = [public_text(identity.host_key(one)) for one in ("a1", "a2", "a1")]
    assert keys[0] == keys[2] != keys[1]


def test_another_installation_has_other_host_keys(
    identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANGER_HOME", str(tmp_path / "other"))
    assert public_text(ensure_identity().host_key("a1")) != public_text(identity.host_key("a1"))


def test_a_damaged_secret_is_named(identity: Identity) -> None:
    (Path(identity.directory) / "secret").write_bytes(b"short")
    with pytest.raises(Error) as caught:
        identity.host_key("a1")
    assert caught.value.code == "credentials_error" and caught.value.hint


def test_known_hosts_has_one_line_a_name_and_none_of_machines_that_are_gone(identity: Identity) -> None:
    identity.note_host(["dev.banger"], "a1", ["a1"])
    identity.note_host(["old.banger", "b2.banger"], "b2", ["a1", "b2"])
    identity.note_host(["dev.banger"], "c3", ["c3", "b2"])  # a new machine of that name
    lines = [line.split() for line in Path(identity.known_hosts).read_text().splitlines()]
    assert [(line[0], line[3]) for line in lines] == [
        ("b2.banger", "b2"),
        ("old.banger", "b2"),
        ("dev.banger", "c3"),
    ]
    identity.note_host(["dev.banger"], "c3", ["c3"])
    assert len(Path(identity.known_hosts).read_text().splitlines()) == 1


def test_lines_that_are_not_ours_go() -> None:
    assert keep_lines(["", "x", "a ssh-ed25519 AAAA id more", "a ssh-ed25519 AAAA id"], set(), {"id"}) == [
        "a ssh-ed25519 AAAA id"
    ]


@pytest.mark.parametrize(
    "text", ["", "Host x\n  User y\n", "Host x", "\n\n# caf\xe9\n", "Host x\r\n\tPort 3\r\n"]
)
def test_an_installation_is_taken_out_again_to_the_byte(
    identity: Identity, tmp_path: Path, text: str
) -> None:
    mine = tmp_path / "cfg"
    mine.write_bytes(text.encode("latin-1"))
    mine.chmod(0o640)
    assert config.install(identity, {}, str(mine))
    once = mine.read_bytes()
    assert not config.install(identity, {}, str(mine))
    assert mine.read_bytes() == once and once.startswith(b"# Machines of banger")
    assert stat.S_IMODE(mine.stat().st_mode) == 0o640
    assert config.uninstall(identity, str(mine))
    assert mine.read_bytes().rstrip(b"\n") == text.encode("latin-1").rstrip(b"\n")
    assert not config.uninstall(identity, str(mine))


def test_an_installation_makes_what_is_missing_and_writes_through_a_link(
    identity: Identity, tmp_path: Path
) -> None:
    assert config.install(identity, {}, str(tmp_path / "none" / "config"))
    assert stat.S_IMODE((tmp_path / "none").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "none" / "config").stat().st_mode) == 0o600
    (tmp_path / "real").write_text("Host x\n")
    (tmp_path / "link").symlink_to("real")
    assert config.install(identity, {}, str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink() and "Include" in (tmp_path / "real").read_text()


def test_the_proxy_finds_the_same_daemon_and_keys(identity: Identity) -> None:
    environment = {"BANGER_HOME": "/a b/%c", "BANGER_SOCKET": "", "PATH": "/bin"}
    line = config.plan_options(identity, environment)["ProxyCommand"]
    words = shlex.split(line.replace("%%", "%"))
    assert words[:2] == ["env", "BANGER_HOME=/a b/%c"]
    assert words[-2:] == ["ssh-proxy", "%n"] and "%%c" in line
    assert "env" not in shlex.split(config.plan_options(identity, {})["ProxyCommand"])[:1]


@pytest.mark.parametrize(("name", "told"), [("dev", "dev.banger"), ("dev.banger", "dev.banger")])
def test_a_user_in_front_of_the_name_counts_and_root_is_the_default(
    identity: Identity, name: str, told: str
) -> None:
    argv = config.plan_command(identity, {}, name, ["-v", "id"])
    assert argv[-3:] == [told, "-v", "id"] and "User=root" in argv
    argv = config.plan_command(identity, {}, f"bob@{name}", [])
    assert argv[-1] == f"bob@{told}" and "User=root" not in argv


@pytest.mark.parametrize("name", ["dev.banger", "dev.example", "x';touch hurt;'.banger"])
def test_openssh_reads_the_file_for_machines_and_for_nothing_else(
    identity: Identity, tmp_path: Path, name: str
) -> None:
    (tmp_path / "cfg").write_text(config.plan_config(identity, {}))
    done = subprocess.run(
        ["ssh", "-G", "-F", str(tmp_path / "cfg"), name], capture_output=True, text=True, check=False
    )
    assert ("ssh-proxy" in done.stdout) == (name == "dev.banger"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "words"), [("uname -a", ["uname", "-a"]), ("/app 'a b' \"c\"", ["/app", "a b", "c"])]
)
def test_plain_words_need_no_shell(command: str, words: list[str]) -> None:
    assert split_words(command) == words


@pytest.mark.parametrize(
    "command", ["", "a | b", "a; b", "echo $HOME", "a > b", "ls *", "x 'open", "a\nb", "`a`"]
)
def test_what_needs_a_shell_says_so(command: str) -> None:
    with pytest.raises(Error) as caught:
        split_words(command)
    assert caught.value.code == "unsupported"


def test_a_client_sets_only_variables_of_the_list() -> None:
    given = {
        b"LANG": b"C",
        b"LC_ALL": b"\xff",
        b"LC_x": b"1",
        b"PATH": b"/evil",
        b"LD_PRELOAD": b"x",
        b"XLANG": b"1",
        b"TZ": b"a\0b",
        b"GIT_PROTOCOL": b"version=2",
    }
    assert choose_variables(given, None) == {b"LANG": b"C", b"LC_ALL": b"\xff", b"GIT_PROTOCOL": b"version=2"}
    assert choose_variables({}, "xterm\0") == {b"TERM": b"xterm"}


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("dev", True),
        ("dev.banger", True),
        ("10.0.0.2", True),
        ("10.0.0.3", False),
        ("example.org", False),
    ],
)
def test_forwards_lead_to_the_machine_alone(host: str, own: bool) -> None:
    assert is_own(host, "dev", "10.0.0.2") is own


def test_the_library_still_has_the_handlers_that_ours_replace() -> None:
    """They are no public part of it: docs/decisions/0055-ssh.md."""
    theirs = asyncssh.SSHServerChannel
    replaced = [name for name in vars(Channel) if name.startswith("_process_")]
    assert len(replaced) == 2 and all(name in vars(theirs) for name in replaced)
    assert list(inspect.signature(theirs._start_session).parameters) == ["self", "command", "subsystem"]


def test_the_library_is_loaded_without_a_compiler_or_any_other_program() -> None:
    """Python's search for libraries starts some: on each connection, if nothing stopped it."""
    watch = "import sys; sys.addaudithook(lambda event, _: event == 'subprocess.Popen' and print('started'))"
    loads = (
        "import asyncssh",
        "from banger.ssh.library import load_library as f; f(); import banger.ssh.serving",
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", f"{watch}; {load}"], capture_output=True, text=True, check=True
        ).stdout
        for load in loads
    ]
    assert "started" in said[0] and said[1] == ""
