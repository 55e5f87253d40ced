"""Verbs against the stand-in: what they ask, print and end with."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from banger.cli.dispatch import dispatch
from banger.cli.output import age, printable
from banger.cli.verbs.copy import plan_copy, split_place
from banger.errors import Error
from tests.support.home import wait_until
from tests.unit.test_client_stand_in import MACHINE, OPERATION, StandIn, running

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    (tmp_path / "run").mkdir()
    with running(tmp_path / "run") as running_one:
        monkeypatch.setenv("BANGER_SOCKET", str(running_one.path))
        yield running_one


def banger(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "banger.cli.main", *words]
    return subprocess.run(argv, capture_output=True, timeout=30, **options)


def test_list_is_a_table(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["vm", "list"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == "NAME STATE AGE IMAGE PORTS EXIT REASON MEMORY CPUS ACCEL".split()
    assert row.split()[:2] == ["dev", "running"] and "years" in row
    assert row.split()[4:] == ["debian", "127.0.0.1:8080->80", "3", "-", "512MiB", "2", "tcg"]
    assert head.index("ACCEL") == row.index("tcg")


def test_a_machine_that_is_paused_for_want_of_work_is_idle(stand_in: StandIn, capsys: Capture) -> None:
    paused = MACHINE | {"state": "paused"}
    stand_in.answers["GET", "/v1/machines"] = [paused, paused | {"idle": True}, MACHINE | {"idle": True}]
    dispatch(["vm", "list"])
    states = [row.split()[1] for row in capsys.readouterr().out.splitlines()[1:]]
    assert states == ["paused", "idle", "running"]


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"kind": "boot"}, "boot"),
        ({"kind": "fork", "machine": "web"}, "fork of web"),
        ({"kind": "snapshot", "machine": "web", "tag": "one"}, "snapshot web:one"),
        ({"kind": "template", "template": "0123456789abcdef"}, "template 0123456789ab"),
    ],
)
def test_show_says_where_a_machine_comes_from(
    stand_in: StandIn, capsys: Capture, origin: dict[str, str], words: str
) -> None:
    stand_in.answers["GET", "/v1/machines/dev"] = MACHINE | {"origin": origin, "idle": True}
    dispatch(["vm", "show", "dev"])
    assert {f"origin: {words}", "idle: yes"} <= set(capsys.readouterr().out.splitlines())


def test_list_without_machines_is_a_head_and_quiet_is_nothing(stand_in: StandIn, capsys: Capture) -> None:
    stand_in.answers["GET", "/v1/machines"] = []
    dispatch(["ps"])
    assert len(capsys.readouterr().out.splitlines()) == 1
    dispatch(["ps", "-q"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("vm list", "/v1/machines"),
        ("vm show dev", "/v1/machines/dev"),
        ("vm health dev", "/v1/machines/dev/health"),
        ("vm ping dev", "/v1/machines/dev/ping"),
        ("vm ports dev", "/v1/machines/dev/ports"),
        ("vm stats dev", "/v1/machines/dev/stats"),
        ("image list", "/v1/images"),
        ("image show debian:12", "/v1/images/debian:12"),
        ("kernel list", "/v1/kernels"),
        ("kernel show debian-cloud", "/v1/kernels/debian-cloud"),
        ("template list", "/v1/templates"),
        ("template show 4be1", "/v1/templates/4be1"),
        ("snapshot list", "/v1/snapshots"),
        ("snapshot show dev one", "/v1/snapshots/dev/one"),
        ("operation list", "/v1/operations"),
        ("operation show op1", "/v1/operations/op1"),
        ("system info", "/v1/system"),
    ],
)
def test_json_is_what_the_api_says(stand_in: StandIn, capsys: Capture, words: str, answer: str) -> None:
    dispatch([*words.split(), "--json"])
    assert json.loads(capsys.readouterr().out) == stand_in.answers["GET", answer]
    dispatch(words.split())
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        ("vm pause dev", "POST", "/v1/machines/dev/pause"),
        ("vm resume dev", "POST", "/v1/machines/dev/resume"),
        ("vm kill dev", "POST", "/v1/machines/dev/kill"),
        ("vm kill -s HUP dev", "POST", "/v1/machines/dev/kill?signal=1"),
        ("vm delete dev", "DELETE", "/v1/machines/dev"),
        ("rm -f dev", "DELETE", "/v1/machines/dev?force=true"),
        ("rm -f --all", "DELETE", "/v1/machines/dev?force=true"),
        ("image delete debian:12", "DELETE", "/v1/images/debian:12"),
        ("kernel rm debian-cloud", "DELETE", "/v1/kernels/debian-cloud"),
        ("template delete 4be1", "DELETE", "/v1/templates/4be1"),
        ("template prune", "POST", "/v1/templates/prune"),
        ("template prune --all --dry-run", "POST", "/v1/templates/prune?all=true&dry_run=true"),
        ("snapshot list dev", "GET", "/v1/snapshots?machine=dev"),
        ("snapshot rm dev one", "DELETE", "/v1/snapshots/dev/one"),
        ("operation cancel op1", "POST", "/v1/operations/op1/cancel"),
        ("logs dev", "GET", "/v1/machines/dev/logs?source=exec"),
        ("logs -n all dev", "GET", "/v1/machines/dev/logs?source=exec"),
        ("logs --console --tail 3 dev", "GET", "/v1/machines/dev/logs?tail=3"),
        ("logs -f --exec dev", "GET", "/v1/machines/dev/logs?source=exec&follow=true"),
        ("vm start dev", "POST", "/v1/machines/dev/start"),
        ("vm restart dev", "POST", "/v1/machines/dev/restart"),
        ("vm snapshot dev one", "POST", "/v1/machines/dev/snapshot"),
        ("vm restore dev one", "POST", "/v1/machines/dev/restore"),
        ("vm fork dev", "POST", "/v1/machines/dev/fork"),
        ("vm commit dev app", "POST", "/v1/machines/dev/commit"),
        ("image pull --force debian", "POST", "/v1/images/pull"),
        ("kernel pull debian-cloud", "POST", "/v1/kernels/pull"),
    ],
)
def test_a_verb_asks_what_it_means(stand_in: StandIn, words: str, method: str, path: str) -> None:
    assert dispatch(words.split()) == 0
    assert stand_in.calls[-1] == (method, path)


def test_stop_sends_its_grace(stand_in: StandIn) -> None:
    dispatch(["stop", "--grace", "500ms", "dev"])
    assert json.loads(stand_in.bodies[-1]) == {"grace_s": 0.5}


def test_several_names_are_all_tried(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["rm", "nope", "dev"]) == 125
    said = capsys.readouterr()
    assert said.out == "dev\n"
    assert said.err == "banger: nothing at /v1/machines/nope\nhint: look\n"
    assert dispatch(["rm", "-f", "nope"]) == 0


@pytest.mark.parametrize("words", [["rm"], ["rm", "--all"], ["rm", "-f", "--all", "dev"]])
def test_deleting_all_has_to_be_meant(stand_in: StandIn, words: list[str]) -> None:
    assert dispatch(words) == 2
    assert stand_in.calls == []


def test_wait_prints_the_exit_code_and_ends_well(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["vm", "wait", "dev"]) == 0
    assert capsys.readouterr().out == "3\n"
    stand_in.answers["GET", "/v1/machines/dev/wait"] = MACHINE | {"exit": None}
    dispatch(["vm", "wait", "dev"])
    assert capsys.readouterr().out == "-\n"


def test_health_says_what_is_wrong_and_ends_with_1(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["vm", "health", "dev"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "agent  ok: 1.0",
        "init   ok: agent",
        "clock  ok: right",
        "VMM    not ok: \\x1b[31mgone",
    ]
    stand_in.answers["GET", "/v1/machines/dev/health"]["vmm"]["ok"] = True
    assert dispatch(["vm", "health", "--json", "dev"]) == 0


def test_ping_prints_times_and_a_summary(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["vm", "ping", "-c", "3", "dev"]) == 0
    *times, summary = capsys.readouterr().out.splitlines()
    assert times[1] == "dev: seq=2 time=3.00 ms"
    assert summary == "3 sent, 3 answered, min/avg/max 1.00/2.00/3.00 ms"


def test_a_machine_is_shown_with_its_ports_and_an_address_only_where_machines_can_reach_it(
    stand_in: StandIn, capsys: Capture
) -> None:
    dispatch(["vm", "show", "dev"])
    text = capsys.readouterr().out
    assert "ports: 127.0.0.1:8080->80" in text and "10.213.0.16" not in text
    spec = {"networks": [{"network": "back"}]}
    stand_in.answers["GET", "/v1/machines/dev"] = MACHINE | {"spec": spec}
    dispatch(["vm", "show", "dev"])
    assert "address: 10.213.0.16" in capsys.readouterr().out
    dispatch(["vm", "show", "--json", "dev"])
    assert json.loads(capsys.readouterr().out)["network"] == MACHINE["network"]


def test_a_guests_names_cannot_command_the_terminal(stand_in: StandIn, capsys: Capture) -> None:
    dispatch(["vm", "ports", "dev"])
    text = capsys.readouterr().out
    assert "\x1b" not in text and "ngi\\x1b[2Jnx" in text
    assert printable("a\nb\u202e") == "a\\nb\\u202e"


def test_errors_are_json_where_json_was_asked_for(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["vm", "show", "--json", "nope"]) == 125
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "machine_not_found"


def test_an_operation_is_watched_and_its_result_printed(
    stand_in: StandIn, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANGER_PROGRESS", "plain")
    stand_in.progress = [{"seq": n, "phase": p, "done": n, "total": 9} for n, p in enumerate("aab")]
    stand_in.progress_delay_s = 0.4
    assert dispatch(["image", "pull", "debian"]) == 0
    said = capsys.readouterr()
    assert said.out == "debian:12\n"
    assert said.err.splitlines() == ["a (1 of 9)", "b (2 of 9)"]


def test_quick_work_shows_no_progress(stand_in: StandIn, capsys: Capture) -> None:
    stand_in.progress = [{"seq": 1, "phase": "a"}]
    dispatch(["image", "pull", "debian"])
    assert capsys.readouterr().err == ""


def test_a_failed_operation_is_its_error(stand_in: StandIn, capsys: Capture) -> None:
    error = {"code": "download_failed", "message": "no network", "hint": "plug it in"}
    stand_in.ended_operation = OPERATION | {"state": "failed", "error": error}
    assert dispatch(["image", "pull", "debian"]) == 125
    assert capsys.readouterr().err == "banger: no network\nhint: plug it in\n"


def test_another_version_of_the_daemon_is_mentioned_once(stand_in: StandIn, capsys: Capture) -> None:
    stand_in.version = "9.9"
    dispatch(["rm", "dev", "dev"])
    assert capsys.readouterr().err == (
        "banger: the daemon is version 9.9, this command is version 0.1.0: run `banger system restart`\n"
    )


def test_a_bug_is_one_line_unless_debug_is_asked_for(stand_in: StandIn, capsys: Capture) -> None:
    stand_in.answers["GET", "/v1/machines"] = [MACHINE | {"created": None, "spec": {"memory_mib": 2**70}}]
    stand_in.answers["GET", "/v1/machines/dev/ping"] = {"round_trips_ms": [1e308, 10**400]}
    assert dispatch(["vm", "ping", "dev"]) == 125
    said = capsys.readouterr().err
    assert said.startswith("banger: OverflowError") and "--debug" in said and "Traceback" not in said
    dispatch(["vm", "ping", "--debug", "dev"])
    assert "Traceback" in capsys.readouterr().err


def test_no_daemon_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("BANGER_SOCKET", str(tmp_path / "none.sock"))
    assert dispatch(["vm", "list"]) == 125
    assert "no daemon answers on" in capsys.readouterr().err
    assert dispatch(["system", "stop"]) == 0
    assert capsys.readouterr().out == "no daemon runs\n"


def test_a_reader_that_goes_away_ends_a_listing_quietly(stand_in: StandIn) -> None:
    stand_in.answers["GET", "/v1/machines"] = [MACHINE] * 5000
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m banger.cli.main vm list | head -1; exit ${{PIPESTATUS[0]}}'],
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (141, b"")


def test_version_loads_no_parser(stand_in: StandIn) -> None:
    code = "import sys; sys.argv = ['banger', '--version']\n"
    code += (
        "import banger.cli.main as m, os\nos._exit = lambda code: print(code, 'argparse' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "m.leave(m._print('banger 0'))"], capture_output=True, timeout=30
    )
    assert done.stdout == b"banger 0\n0 False\n"
    assert banger("--version").stdout == b"banger 0.1.0\n"


def test_ages_are_short_and_bad_times_are_nothing() -> None:
    assert age("2020-01-01T00:00:00Z").endswith(" years")
    assert age("yesterday") == age("") == ""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("dev:/etc", ("dev", "/etc")),
        ("dev:etc/x", ("dev", "/etc/x")),
        ("./dev:/etc", ("", "./dev:/etc")),
        ("/a:b", ("", "/a:b")),
        ("file", ("", "file")),
        ("UPPER:x", ("", "UPPER:x")),
        ("dev:", ("dev", "/")),
    ],
)
def test_places_in_machines_and_here_are_told_apart(text: str, place: tuple[str, str]) -> None:
    assert split_place(text) == place


@pytest.mark.parametrize(
    ("source", "directory", "contents", "target", "kind", "expected"),
    [
        ("a", False, False, "/srv", "directory", ("/srv", "a")),
        ("a", False, False, "/srv/b", "", ("/srv", "b")),
        ("a", False, False, "/srv/b", "file", ("/srv", "b")),
        ("d", True, False, "/srv", "directory", ("/srv", "d")),
        ("d", True, True, "/srv", "directory", ("/srv", "")),
        ("d", True, False, "/srv/new", "", ("/srv", "new")),
        ("d", True, False, "/srv/new/", "", ("/srv", "new")),
        ("d", True, True, "new", "", (".", "new")),
        ("a", False, False, "/b", "", ("/", "b")),
    ],
)
def test_copies_go_where_docker_puts_them(
    source: str, directory: bool, contents: bool, target: str, kind: str, expected: tuple[str, str]
) -> None:
    assert plan_copy(source, directory, contents, target, kind) == expected


@pytest.mark.parametrize(("directory", "target", "kind"), [(True, "/f", "file"), (False, "/new/", "")])
def test_copies_that_cannot_be_are_refused(directory: bool, target: str, kind: str) -> None:
    with pytest.raises(Error):
        plan_copy("x", directory, False, target, kind)


def files_of(stand_in: StandIn, kinds: dict[str, str], tar: bytes = b"") -> None:
    """A guest whose paths are of these kinds, and whose files are this tar."""

    async def stat(asked: Request) -> Response:
        kind = kinds.get(asked.query_params["path"])
        error = {"error": {"code": "file_not_found", "message": "no such file"}}
        return JSONResponse({"type": kind}) if kind else JSONResponse(error, 404)

    stand_in.answers["GET", "/v1/machines/dev/files/stat"] = stat
    stand_in.answers["GET", "/v1/machines/dev/files"] = tar
    stand_in.answers["PUT", "/v1/machines/dev/files"] = None


def test_a_tree_is_copied_into_a_machine(stand_in: StandIn, tmp_path: Path) -> None:
    files_of(stand_in, {"/srv": "directory"})  # what a link leads to
    (tmp_path / "app/sub").mkdir(parents=True)
    (tmp_path / "app/sub/a").write_text("x")
    assert dispatch(["cp", str(tmp_path / "app"), "dev:/srv"]) == 0
    assert stand_in.calls[-1] == ("PUT", "/v1/machines/dev/files?path=%2Fsrv")
    with tarfile.open(fileobj=io.BytesIO(stand_in.bodies[-1])) as tar:
        assert tar.getnames() == ["app", "app/sub", "app/sub/a"]


def test_a_file_is_copied_out_of_a_machine(stand_in: StandIn, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("hosts")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    files_of(stand_in, {"/etc/hosts": "file"}, out.getvalue())
    assert dispatch(["cp", "dev:/etc/hosts", str(tmp_path / "copy")]) == 0
    assert (tmp_path / "copy").read_bytes() == b"abc"
    assert banger("cp", "dev:/etc/hosts", "-").stdout == out.getvalue()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["cp", "a", "b"], 2),
        (["cp", "dev:/a", "dev:/b"], 1),
        (["cp", "dev:/etc", "dev:/etc/below"], 2),
        (["cp", "dev:/nope", "/tmp"], 1),
        (["cp", "/nope/nope", "dev:/srv"], 1),
        (["cp", "dev:/etc", "/nope/nope/nope"], 1),
        (["cp", "/proc/self/mem", "dev:/srv"], 2),
    ],
)
def test_copies_fail_with_a_line(stand_in: StandIn, words: list[str], code: int, capsys: Capture) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("etc")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    files_of(stand_in, {"/etc": "directory", "/srv": "directory"}, out.getvalue())
    assert dispatch(words) == code
    assert capsys.readouterr().err.startswith("banger: ")


@pytest.mark.parametrize("kept", [0, 400, 600, 1024])
def test_a_copy_that_was_cut_short_fails_and_leaves_nothing(
    stand_in: StandIn, tmp_path: Path, capsys: Capture, kept: int
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("hosts")
        info.size = 600
        tar.addfile(info, io.BytesIO(b"x" * 600))
    files_of(stand_in, {"/etc/hosts": "file"}, out.getvalue()[:kept])
    assert dispatch(["cp", "dev:/etc/hosts", str(tmp_path / "copy")]) == 125
    assert "broken tar stream" in capsys.readouterr().err
    assert not os.path.lexists(tmp_path / "copy")
    assert not list(tmp_path.glob(".banger-*"))


def test_a_tar_stream_is_passed_on(stand_in: StandIn) -> None:
    files_of(stand_in, {})
    assert banger("cp", "-", "dev:/srv", input=b"tar" * 1000, env=os.environ).returncode == 0
    assert stand_in.bodies[-1] == b"tar" * 1000


def test_create_sends_a_command_only_if_there_is_one(stand_in: StandIn, capsys: Capture) -> None:
    dispatch(["vm", "create", "--name", "dev", "debian"])
    assert json.loads(stand_in.bodies[-1]) == {"image": "debian", "name": "dev"}
    assert capsys.readouterr().out == "dev\n"
    dispatch(["vm", "create", "debian", "sh"])
    assert json.loads(stand_in.bodies[-1])["command"]["argv"] == ["sh"]


def in_background(*words: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "banger.cli.main", *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_ctrl_c_ends_a_verb_with_130_and_no_traceback(stand_in: StandIn) -> None:
    async def never(asked: Request) -> Response:
        await asyncio.sleep(60)
        return Response()

    stand_in.answers["GET", "/v1/machines/dev/wait"] = never
    process = in_background("vm", "wait", "dev")
    wait_until(lambda: stand_in.calls, 10, "the daemon is asked")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == (b"", b"") and process.returncode == 130


def test_ctrl_c_cancels_the_operation_that_we_began(stand_in: StandIn) -> None:
    stand_in.progress = [{"seq": n, "phase": "a"} for n in range(100)]
    stand_in.progress_delay_s = 0.1
    process = in_background("image", "pull", "-q", "debian")
    wait_until(lambda: stand_in.followed, 10, "the operation is followed")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == (b"", b"") and process.returncode == 130
    assert stand_in.calls[-1] == ("POST", "/v1/operations/op1/cancel")
