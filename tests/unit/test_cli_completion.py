"""Completion in real shells, the reference, and what the command line loads."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from banger.cli.reference import reference
from banger.cli.table import NOUNS, SHORT_FORMS
from banger.cli.verbs.completion import bash_script, fish_script, zsh_script

ROOT = Path(__file__).parents[2]
# Stands in for `banger`, so that names come without a daemon.
FAKE = """#!/bin/sh
test "$BANGER_COMPLETING" = 1 || exit 9
case "$*" in
"vm list -q") echo dev; echo web-1 ;;
"image list -q") echo debian-bookworm; echo alpine ;;
"kernel list -q") echo debian-cloud ;;
"operation list -q") echo op1 ;;
"compose list -q") echo shop ;;
"template list -q") echo 4be1c07d5a77; echo 09aa17c3b0d2 ;;
"snapshot list -q") echo dev one; echo old last; echo dev two ;;
*) exit 9 ;;
esac
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("completion")
    (directory / "banger").write_text(FAKE)
    (directory / "banger").chmod(0o755)
    (directory / "bash").write_text(bash_script())
    (directory / "zsh").write_text(zsh_script())
    return directory


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "banger ",
            " ".join([*NOUNS, *SHORT_FORMS, "help", "--version"]),
        ),
        ("banger im", "image images import"),
        ("banger vm st", "start stop stats"),
        ("banger operation ", "list show wait cancel"),
        ("banger vm start ", "dev web-1"),
        ("banger vm start dev ", "dev web-1"),
        ("banger vm show dev ", ""),
        ("banger machine show w", "web-1"),
        ("banger vm rm ", "dev web-1"),
        ("banger rm -f d", "dev"),
        ("banger run ", "debian-bookworm alpine"),
        ("banger run --name x al", "alpine"),
        ("banger run --accel ", "auto kvm tcg"),
        ("banger run --kernel ", "debian-cloud"),
        ("banger run --me", "--memory --memory-limit"),
        ("banger run --name ", ""),
        ("banger run alpine --", ""),
        ("banger exec dev ", ""),
        ("banger exec -i d", "dev"),
        ("banger image rm a", "alpine"),
        ("banger kernel show ", "debian-cloud"),
        ("banger operation wait ", "op1"),
        ("banger template show ", "4be1c07d5a77 09aa17c3b0d2"),
        ("banger template delete 4be1c07d5a77 0", "09aa17c3b0d2"),
        ("banger snapshot list ", "dev old"),
        ("banger snapshot show dev ", "one two"),
        ("banger snapshot show dev one ", ""),
        ("banger snapshot rm dev one t", "two"),
        ("banger snapshot export old ", "last"),
        ("banger snapshot export old last ", ""),
        ("banger snapshot import --tag ", ""),
        ("banger vm snapshot ", "dev web-1"),
        ("banger vm snapshot dev ", ""),
        ("banger vm restore -q ", "dev old"),
        ("banger vm restore -q dev t", "two"),
        ("banger vm fork --count 2 w", "web-1"),
        ("banger vm commit dev ", ""),
        ("banger logs --fo", "--follow"),
        ("banger cp d", "dev:"),
        ("banger vm ps --js", "--json"),
        ("banger compose ps --fi", "--file"),
        ("banger compose ls --fi", ""),
        ("banger down --project ", "shop"),
        ("banger vm bogus ", ""),
    ],
)
def test_bash_completes(directory: Path, line: str, words: str) -> None:
    script = f"""
        PATH={directory}:$PATH; source {directory}/bash
        COMP_LINE={line!r}; COMP_WORDS=({line}{'""' if line.endswith(" ") else ""})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _banger; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == sorted(words.split())


def test_bash_calls_it_for_banger(directory: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"source {directory}/bash; complete -p banger"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-F _banger banger" in done.stdout


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("banger sys", "banger system"),
        ("banger vm sta", "stats"),
        ("banger vm show w", "web-1"),
        ("banger run --accel t", "tcg"),
        ("banger cp d", "dev:"),
    ],
)
def test_zsh_completes(directory: Path, typed: str, wanted: str) -> None:
    press_tab(directory, f"source {directory}/zsh", typed + "\t\t", wanted)


@pytest.mark.parametrize(
    ("typed", "wanted"), [("banger sys", "banger system"), ("banger vm show w", "web-1")]
)
def test_zsh_completes_from_a_package(directory: Path, typed: str, wanted: str) -> None:
    """Where zsh loads the file at the first Tab."""
    (directory / "functions").mkdir(exist_ok=True)
    (directory / "functions/_banger").write_text(zsh_script())
    press_tab(
        directory,
        f"fpath=({directory}/functions $fpath)\nautoload -U compinit\ncompinit -u -D",
        typed + "\t",
        wanted,
    )


def press_tab(directory: Path, loading: str, typed: str, wanted: str) -> None:
    """At a zsh on a pty; `typed` has the Tabs."""
    zsh = shutil.which("zsh")
    if not zsh:
        pytest.skip("capability missing: zsh on this host")
    (directory / ".zshrc").write_text(f"PS1='rea''dy> '\nbindkey -e\n{loading}\n")
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update(PATH=f"{directory}:{os.environ['PATH']}", TERM="dumb", ZDOTDIR=str(directory))
        os.execv(zsh, ["zsh", "-i"])
    try:
        read_until(master, b"ready> ")
        os.write(master, typed.encode())
        read_until(master, wanted.encode())
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(master)


def test_fish_asks_the_script_of_bash(directory: Path) -> None:
    """What fish reads between the quotes is that script, byte by byte."""
    quoted = fish_script().partition("__banger_bash '")[2].partition("'\nfunction ")[0]
    assert quoted.replace("\\'", "'").replace("\\\\", "\\") == bash_script()
    fish = shutil.which("fish")
    if not fish:
        pytest.skip("capability missing: fish on this host")
    asked = f"set PATH {directory} $PATH; {fish_script()}\ncomplete -C 'banger vm show w'"
    done = subprocess.run([fish, "-N", "-c", asked], capture_output=True, text=True, timeout=20)
    assert done.stdout.split() == ["web-1"], done.stderr


def read_until(fd: int, wanted: bytes) -> None:
    seen, deadline = b"", time.monotonic() + 20
    while wanted not in seen:
        left = deadline - time.monotonic()
        assert left > 0 and select.select([fd], [], [], left)[0], seen
        seen += os.read(fd, 4096)


def test_the_reference_is_current() -> None:
    """`python -m banger.cli.reference > docs/cli.md` makes it so."""
    assert (ROOT / "docs/cli.md").read_text() == "\n".join(reference())


@pytest.mark.parametrize(
    "words", [["--version"], ["vm", "exec", "dev", "true"], ["run", "debian", "true"], ["ps"]]
)
def test_no_verb_of_every_day_loads_what_is_slow(tmp_path: Path, words: list[str]) -> None:
    """Up to the point where there is no daemon."""
    code = f"""
import os, sys
os.environ["BANGER_SOCKET"] = "{tmp_path}/none.sock"
sys.argv = ["banger", *{words!r}]
def leave(code):
    print(*sys.modules, file=sys.__stdout__)
    raise SystemExit
os._exit = leave
from banger.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    loaded = set(done.stdout.split())
    slow = {
        "msgspec",
        "rich",
        "asyncio",
        "typing",
        "typing_extensions",
        "http.client",
        "dataclasses",
        "ssl",
        "shutil",
    }
    assert "banger.cli.main" in loaded and slow & loaded == set()
    assert ("argparse" in loaded) == (words != ["--version"])
