"""Templates, snapshots, forks and commits against the stand-in: what is sent, printed and written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from banger.cli.dispatch import dispatch
from banger.cli.timings import Stopwatch
from banger.client.whole_file import write_whole
from banger.errors import Error
from tests.unit.test_client_stand_in import OPERATION, SNAPSHOT, TEMPLATE, StandIn, running

Capture = pytest.CaptureFixture[str]
EXPORTED = b"frozen" * 100_000


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    (tmp_path / "run").mkdir()
    with running(tmp_path / "run") as running_one:
        monkeypatch.setenv("BANGER_SOCKET", str(running_one.path))
        yield running_one


def test_templates_are_a_table(stand_in: StandIn, capsys: Capture) -> None:
    stale = TEMPLATE | {"stale": "the image changed", "ready": 0}
    stand_in.answers["GET", "/v1/templates"] = [TEMPLATE, stale]
    assert dispatch(["template", "list"]) == 0
    head, row, other = capsys.readouterr().out.splitlines()
    assert head.split() == "ID IMAGE INIT CPUS MEMORY DRIVER SIZE USED READY STATE".split()
    assert row.split()[:7] == "4be1c07d5a77 debian:12 agent 2 512MiB qemu/tcg 90MiB".split()
    assert row.split()[9:] == ["2", "current"]
    assert other.endswith("0      stale: the image changed")
    assert dispatch(["templates", "ls", "-q"]) == 0
    assert capsys.readouterr().out == "4be1c07d5a77\n" * 2


def test_templates_are_deleted_and_pruned(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["template", "delete", "beef", "4be1"]) == 125
    assert capsys.readouterr().out == "4be1\n"
    assert dispatch(["template", "delete", "--json", "beef", "4be1"]) == 125
    said = capsys.readouterr()
    assert json.loads(said.out) == "4be1" and json.loads(said.err)["error"]["hint"] == "look"
    assert dispatch(["template", "prune"]) == 0
    assert capsys.readouterr().out == "freed 1.5GiB across 2 template(s) in /t\n"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("vm snapshot dev one", {"tag": "one"}),
        ("vm restore dev one", {"tag": "one"}),
        ("vm fork dev", {}),
        ("vm fork --count 3 --name w dev", {"count": 3, "name": "w"}),
        ("vm commit dev team/app:1", {"image": "team/app:1"}),
    ],
)
def test_verbs_say_which_and_print_what_came_of_it(
    stand_in: StandIn, capsys: Capture, words: str, body: dict[str, object]
) -> None:
    stand_in.ended_operation = OPERATION | {
        "state": "succeeded",
        "result": [{"name": "w-1"}, {"name": "w-2"}],
    }
    assert dispatch(words.split()) == 0
    assert json.loads(stand_in.bodies[-1] or b"{}") == body
    assert capsys.readouterr().out == "w-1\nw-2\n"
    dispatch([*words.split(), "--json"])
    assert json.loads(capsys.readouterr().out) == stand_in.ended_operation


def test_progress_is_shown_unless_quiet_is_asked_for(
    stand_in: StandIn, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANGER_PROGRESS", "plain")
    stand_in.progress = [{"seq": n, "phase": phase} for n, phase in enumerate(["memory", "disk"])]
    stand_in.progress_delay_s = 0.4
    dispatch(["vm", "snapshot", "dev", "one"])
    assert capsys.readouterr().err == "disk\n"
    dispatch(["vm", "snapshot", "-q", "dev", "one"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", ["vm fork --count 0 dev", "vm snapshot dev", "vm commit dev"])
def test_what_makes_no_sense_is_not_asked(stand_in: StandIn, words: str) -> None:
    assert dispatch(words.split()) == 2
    assert stand_in.calls == []


def test_snapshots_are_a_table(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["snapshot", "list"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["MACHINE", "TAG", "AGE", "IMAGE", "MEMORY", "SIZE"]
    cells = row.split()
    assert (cells[:2], cells[4:]) == (["dev", "one"], ["debian:12", "512MiB", "120MiB"])
    dispatch(["snapshot", "list", "-q"])
    assert capsys.readouterr().out == "dev one\n"


def test_several_snapshots_are_deleted(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["snapshot", "delete", "dev", "zero", "one"]) == 125
    assert capsys.readouterr().out == "dev:one\n"


def test_an_export_is_a_file_of_ones_own(stand_in: StandIn, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "dev.snapshot"
    assert dispatch(["snapshot", "export", "dev", "one", str(file)]) == 0
    assert capsys.readouterr().out == "sha256:12 585.9KiB\n"
    assert file.read_bytes() == EXPORTED and file.stat().st_mode & 0o777 == 0o600


def test_an_export_goes_to_stdout_and_its_digest_to_stderr(stand_in: StandIn) -> None:
    argv = [sys.executable, "-m", "banger.cli.main", "snapshot", "export", "dev", "one", "-"]
    done = subprocess.run(argv, capture_output=True, timeout=30)
    assert (done.stdout, done.stderr) == (EXPORTED, b"sha256:12 585.9KiB\n")


def test_an_export_that_breaks_off_leaves_what_was_there(
    stand_in: StandIn, tmp_path: Path, capsys: Capture
) -> None:
    async def break_off(asked: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"half"
            raise EOFError

        return StreamingResponse(pieces())

    stand_in.answers["GET", "/v1/snapshots/dev/one/export"] = break_off
    file = tmp_path / "dev.snapshot"
    file.write_text("the last one")
    assert dispatch(["snapshot", "export", "dev", "one", str(file)]) == 125
    assert file.read_text() == "the last one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev.snapshot", "run"]
    assert dispatch(["snapshot", "export", "dev", "two", str(tmp_path / "two")]) == 125
    assert not (tmp_path / "two").exists() and capsys.readouterr().out == ""


@pytest.mark.parametrize("place", ["none/here", "."])
def test_a_place_that_cannot_be_written_to_is_an_error(tmp_path: Path, place: str) -> None:
    with pytest.raises(Error, match="cannot write"):
        write_whole(str(tmp_path / place), [b"x"])
    assert list(tmp_path.iterdir()) == []


def test_devices_and_links_stay_what_they_are(tmp_path: Path) -> None:
    assert write_whole("/dev/null", [b"ab", b"c"]) == 3
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")
    (tmp_path / "link").symlink_to("there")
    assert write_whole(str(tmp_path / "link"), [b"ab"]) == 2
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_bytes() == b"ab"


def test_an_import_is_sent_as_it_is(stand_in: StandIn, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "dev.snapshot"
    file.write_bytes(EXPORTED)
    assert dispatch(["snapshot", "import", str(file)]) == 0
    assert stand_in.calls[-1] == ("PUT", "/v1/snapshots/import") and stand_in.bodies[-1] == EXPORTED
    assert capsys.readouterr().out == "dev:one\n"
    assert dispatch(["snapshot", "import", "--json", "--name", "web", "--tag", "two", str(file)]) == 0
    assert stand_in.calls[-1] == ("PUT", "/v1/snapshots/import?machine=web&tag=two")
    assert json.loads(capsys.readouterr().out) == SNAPSHOT


def test_an_import_comes_from_stdin(stand_in: StandIn) -> None:
    argv = [sys.executable, "-m", "banger.cli.main", "snapshot", "import", "-"]
    done = subprocess.run(argv, input=EXPORTED, capture_output=True, timeout=30)
    assert (done.stdout, done.stderr) == (b"dev:one\n", b"") and stand_in.bodies[-1] == EXPORTED


@pytest.mark.parametrize("name", ["none", "."])
def test_what_cannot_be_read_is_not_sent(
    stand_in: StandIn, tmp_path: Path, name: str, capsys: Capture
) -> None:
    assert dispatch(["snapshot", "import", str(tmp_path / name)]) == 1
    assert stand_in.calls == []
    assert "cannot read" in capsys.readouterr().err


def test_timings_come_in_the_order_of_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    phases = "total teardown run exec identity restore template resolve create later".split()
    Stopwatch().report(dict.fromkeys(phases, 1.0))
    names = [line.rsplit(maxsplit=2)[0] for line in said.getvalue().splitlines()]
    wanted = "create resolve template restore identity exec run teardown total later".split()
    assert names == ["cli start", *wanted, "cli whole"]
