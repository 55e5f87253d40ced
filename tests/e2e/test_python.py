"""docs/python.md: its examples run against real machines, one after the other, as a reader would try them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import Client, Vm
from banger.client.guest_files import listing_command, parse_listing
from banger.errors import Error, NoSuchMachine
from tests.support.home import IMAGE, Home, wait_until

pytestmark = pytest.mark.e2e

DOCUMENT = Path(__file__).parents[2] / "docs/python.md"
EXAMPLES = {
    (title := section.partition("\n")[0]): "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    for section in re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    if "```python" in section
}
# Those that make machines of their own; all others work with the one `vm`.
OWN = ("A machine", "asyncio", "Sandboxes in the shape of E2B")
EXPECTED = {
    "A machine": ["Linux\n", "0"],
    "Commands": ["/ROOT", "text in, text out", r"b'\x00\x00\x00\x00'", "1\n2\n3\n", "True", "one", "two", "/dev/pts/"],
    "Files": ["grüße\n", "8 False", "['hello.txt']", "['/srv/app', '/srv/app/hello.txt']", r"b'gr\xc3\xbc\xc3\x9fe\n'",
              "created /srv/in/a \n", "moved /srv/in/a /srv/in/b\n", "deleted /srv/in/b \n"],
    "Forks and snapshots": ["['1\\n', '1\\n']", "1\n"],
    "More of a machine": ["running 512", "True ["],
    "Errors": ["machine_not_found", "1\n", "bad_size", "True tcg"],
    "asyncio": ["['0\\n', '1\\n', '2\\n']", "hi\n"],
    "Sandboxes in the shape of E2B": ["hello from /home/user\n", "3\n", "echo hello from $PWD True"],
}  # fmt: skip


@pytest.fixture
def here(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """This process uses the home, as a program of its user would."""
    for name, value in home.env.items():
        if name.startswith("BANGER_"):
            monkeypatch.setenv(name, value)
    return home


@pytest.fixture
def client(here: Home) -> Client:
    return Client()


@pytest.fixture
def vm(here: Home, client: Client) -> Iterator[Vm]:
    """The machine of all examples, made once."""
    try:
        found = client.machine("examples")
        found.exec(["true"], timeout_s=30, check=True)
    except Error:
        try:
            client.machines.delete("examples", force=True)
        except NoSuchMachine:
            pass
        found = client.run(IMAGE, name="examples")
    yield found


def test_every_example_is_run() -> None:
    assert set(EXAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("title", [title for title in EXPECTED if title not in OWN])
def test_an_example_of_the_page_says_what_it_should(
    title: str, client: Client, vm: Vm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"client": client, "vm": vm, "directory": tmp_path}
    exec(compile(EXAMPLES[title], f"docs/python.md: {title}", "exec"), names)
    check(title, capsys.readouterr().out)


@pytest.mark.parametrize("title", OWN)
def test_an_example_that_makes_machines_leaves_none(
    title: str, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {machine.id for machine in client.machines.list()}
    exec(compile(EXAMPLES[title], f"docs/python.md: {title}", "exec"), {"__name__": "example"})
    check(title, capsys.readouterr().out)
    assert {machine.id for machine in client.machines.list()} <= before


def check(title: str, output: str) -> None:
    at = 0
    for part in EXPECTED[title]:
        found = output.find(part, at)
        if title == "Errors" and part == "True tcg" and found < 0:
            found = output.find("True kvm", at)
        assert found >= 0, f"{part!r} does not follow in {output!r}"
        at = found + len(part)


def runs(vm: Vm, pattern: str) -> bool:
    script = (
        "for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$each; echo; done 2>/dev/null | grep -q -- \"$1\""
    )
    return vm.exec(["sh", "-c", script, "sh", f"^{pattern}"]).exit_code == 0


def test_files_with_strange_names_are_listed(vm: Vm) -> None:
    names = ["a b", "new\nline", "-dash", "ü", "$(id)", "*", ".hidden"]
    for name in names:
        vm.files.write(f"/srv/strange/{name}", name)
    found = vm.files.list("/srv/strange")
    assert sorted(entry.name for entry in found) == sorted(names)
    assert {entry.path: entry.size_bytes for entry in found}["/srv/strange/ü"] == 2
    vm.files.remove("/srv/strange", recursive=True)
    assert not vm.files.exists("/srv/strange")


def test_a_listing_of_many_files_comes_in_batches(vm: Vm) -> None:
    script = "mkdir -p /srv/many && cd /srv/many && for i in $(seq 3000); do : >$i-$0; done"
    vm.exec(["sh", "-c", script, "x" * 200], check=True)
    output = vm.exec(listing_command("/srv/many", deep=False), text=False, check=True).stdout
    found = parse_listing(output)
    assert found is not None and len(found) == 3000


def test_a_command_is_killed_with_its_children_at_its_limit(vm: Vm) -> None:
    done = vm.exec("sleep 4321 & sleep 4321", shell=True, timeout_s=0.5)
    assert done.timed_out and done.exit_code == 124
    wait_until(lambda: not runs(vm, "sleep 432[1]"), 30, "the child ends, too")


def test_a_block_that_ends_early_hangs_up(vm: Vm) -> None:
    with vm.spawn(["sleep", "5432"]) as process:
        assert process.pid
    wait_until(lambda: not runs(vm, "sleep 543[2]"), 30, "the command ends")


def test_a_machine_is_deleted_when_its_time_is_over_whichever_daemon_runs(own_home: Home) -> None:
    client = Client(own_home.json("system", "info")["socket"], start=False)
    own_home.text("run", "-d", "--name", "short", "--ttl", "15s", IMAGE)
    own_home.text("run", "-d", "--name", "long", "--ttl", "1h", IMAGE)
    own_home.text("run", "-d", "--name", "made-short", IMAGE)
    own_home.text("system", "restart")
    client.machine("made-short").change_expiry(1)
    wait_until(lambda: [one.name for one in client.machines.list()] == ["long"], 60, "both are deleted")
    told = [event.target for event in client.system.events() if event.kind == "machine.expired"]
    assert set(told) == {"machine/short", "machine/made-short"}
