"""What fingers type that learned another tool: short forms, suggestions, formats, filters, narrow terminals."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from banger.cli import output, terminal
from banger.cli.dispatch import dispatch
from banger.cli.foreign_options import ACCEPTED, FOREIGN, REFUSED
from banger.cli.formats import print_formatted, select
from banger.cli.go_template import parse_template, render
from banger.cli.machine_filters import FILTERS
from banger.cli.output import fit_columns, print_table
from banger.cli.overview import noun_overview, overview
from banger.cli.parser import UsageError, load_verb
from banger.cli.suggestions import OTHERS, suggest_command
from banger.cli.table import NOUN_SHORT_FORMS, NOUNS, SHORT_FORMS
from banger.cli.verbs.run import plan_spec
from banger.cli.verbs.survey import survey
from banger.errors import Error
from tests.unit.test_client_stand_in import IMAGE, MACHINE, OPERATION, StandIn, running

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    (tmp_path / "run").mkdir()
    with running(tmp_path / "run") as running_one:
        monkeypatch.setenv("BANGER_SOCKET", str(running_one.path))
        yield running_one


@pytest.mark.parametrize("short", [*SHORT_FORMS, *NOUN_SHORT_FORMS])
def test_every_short_form_has_help(short: str, capsys: Capture) -> None:
    noun, verb = (SHORT_FORMS | NOUN_SHORT_FORMS)[short]
    if short in SHORT_FORMS:
        assert dispatch(["help", short]) == 0
        first = capsys.readouterr().out
        assert dispatch([short, "--help"]) == 0
        assert capsys.readouterr().out == first
    else:
        assert dispatch(["help", noun, verb]) == 0
        first = capsys.readouterr().out
    assert first.startswith(f"usage: banger {noun} {verb}")


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        ("pause dev", "POST", "/v1/machines/dev/pause"),
        ("unpause dev", "POST", "/v1/machines/dev/resume"),
        ("kill -s HUP dev", "POST", "/v1/machines/dev/kill?signal=1"),
        ("restart -t 3 dev", "POST", "/v1/machines/dev/restart"),
        ("stop --time 3 dev", "POST", "/v1/machines/dev/stop"),
        ("wait dev", "GET", "/v1/machines/dev/wait"),
        ("snapshot dev one", "POST", "/v1/machines/dev/snapshot"),
        ("snapshot show dev one", "GET", "/v1/snapshots/dev/one"),
        ("restore dev one", "POST", "/v1/machines/dev/restore"),
        ("commit dev app", "POST", "/v1/machines/dev/commit"),
        ("fork dev", "POST", "/v1/machines/dev/fork"),
        ("pull debian", "POST", "/v1/images/pull"),
        ("images", "GET", "/v1/images"),
        ("images list", "GET", "/v1/images"),
        ("images show debian:12", "GET", "/v1/images/debian:12"),
        ("image inspect debian:12", "GET", "/v1/images/debian:12"),
        ("rmi -f debian:12 gone", "DELETE", "/v1/images/gone"),
        ("container ls -a", "GET", "/v1/machines"),
        ("ps -a --no-trunc", "GET", "/v1/machines"),
        ("rm -vf dev", "DELETE", "/v1/machines/dev?force=true"),
        ("port dev", "GET", "/v1/machines/dev"),
        ("stats --no-stream dev", "GET", "/v1/machines/dev/stats"),
        ("info", "GET", "/v1/system"),
        ("version", "GET", "/v1/system"),
    ],
)
def test_a_short_form_asks_what_it_means(stand_in: StandIn, words: str, method: str, path: str) -> None:
    stand_in.answers["POST", "/v1/machines/dev/stop"] = stand_in.answers["POST", "/v1/machines/dev/start"]
    stand_in.answers["GET", "/v1/system"] = {"version": "0.1.0"}
    code = dispatch(words.split())
    assert code == (125 if "gone" in words else 0)
    assert stand_in.calls[-1] == (method, path) or (method, path) in stand_in.calls


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rnu", "did you mean `banger run`?"),
        ("vm lst", "did you mean `banger vm list`?"),
        ("vm exce", "did you mean `banger vm exec`?"),
        ("imags", "did you mean `banger images`?"),
        ("health", "did you mean `banger vm health`?"),
        ("vm pull", "`banger pull`"),
        ("helth", "did you mean `banger vm health`?"),
        ("builder prune", "banger build --prune"),
        ("shell dev", "banger exec -it NAME sh"),
        ("zzzzz", "banger --help"),
        ("ps --fromat x", "did you mean `--format`?"),
        ("run --nam x debian", "did you mean `--name`?"),
        ("run --bogus", "unknown option --bogus"),
        ("ps -x", "unknown option -x"),
        ("stop", "required: NAME"),
        ("version extra", "unexpected argument 'extra'"),
    ],
)
def test_a_wrong_word_has_a_suggestion(words: str, said: str, capsys: Capture) -> None:
    assert dispatch(words.split()) == 2
    text = capsys.readouterr()
    assert text.out == "" and said in text.err and len(text.err.splitlines()) == 2
    asked = words.split()
    assert (
        dispatch([*asked[:1], "--json", *asked[1:]] if asked[0] != "run" else ["run", "--json", *asked[1:]])
        == 2
    )
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "bad_request" and said in error["message"] + error["hint"]


def test_words_of_other_tools_are_no_commands_here() -> None:
    assert not [word for word in OTHERS if word in NOUNS or (word in SHORT_FORMS and word != "up")]
    assert suggest_command("nothing-like-it") == ""


@pytest.mark.parametrize("verb", [pytest.param(verb, id=verb.key) for verb in survey()])
def test_every_verb_has_json(verb: Any) -> None:
    assert "--json" in verb.parser.names


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "dev"),
        ("{{ .State.Running }} {{.State.Pid}}", "true 7"),
        ("{{json .State}}", '{"Running": true, "Pid": 7}'),
        ("{{.Name | upper}}", "DEV"),
        ("{{range .Ports}}{{.}},{{end}}", "80,81,"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .Name `web`}}web{{else if eq .Name "dev"}}it{{end}}', "it"),
        ("{{with .State}}{{.Pid}} of {{$.Name}}{{end}}", "7 of dev"),
        ('{{index .Labels "a b"}}', "c"),
        ("{{(index .Ports 1)}}", "81"),
        ('{{join .Ports "-"}}', "80-81"),
        ("{{len .Ports}}", "2"),
        ("a {{- .Name -}} b", "adevb"),
        ("{{.Labels}}", "map[a b:c]"),
        ("{{.Ports}}{{.Gone}}", "[80 81]<no value>"),
        ("{{.Name}}\\t{{println .Name}}", "dev\tdev\n"),
        ("plain", "plain"),
    ],
)
def test_templates_say_what_go_would(template: str, text: str) -> None:
    value = {
        "Name": "dev",
        "State": {"Running": True, "Pid": 7},
        "Ports": [80, 81],
        "None": [],
        "Labels": {"a b": "c"},
        "Gone": None,
    }
    assert render(parse_template(template), value) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{",
        "{{}}",
        "{{.Nope}}",
        "{{nope .Name}}",
        "{{range .Name}}",
        "{{end}}",
        "{{.Name",
        "{{.Name.First}}",
        "{{(.Name}}",
        "{{index .Name 1}}",
        "{{.Name .Name}}",
        "{{%}}",
        "{{.Name | }}",
        "x" * 20_000,
    ],
)
def test_templates_that_cannot_be_are_refused(template: str) -> None:
    with pytest.raises(Error) as caught:
        render(parse_template(template), {"Name": "dev"})
    assert caught.value.code == "bad_request"


def test_ps_has_formats_and_filters(stand_in: StandIn, capsys: Capture) -> None:
    spec = MACHINE["spec"]
    assert isinstance(spec, dict)
    web = MACHINE | {
        "name": "web",
        "state": "stopped",
        "spec": spec | {"labels": {"team": "x"}},
        "created": "2021",
    }
    stand_in.answers["GET", "/v1/machines"] = [MACHINE, web]

    def said(*words: str) -> list[str]:
        assert dispatch(["ps", *words]) == 0
        return capsys.readouterr().out.splitlines()

    assert said("-a", "--format", "{{.Names}} {{.State}}") == ["dev running", "web exited"]
    assert said("--filter", "status=exited", "-q") == said("-f", "label=team=x", "-q") == ["web"]
    assert said("-f", "label=team", "-f", "label=team=y", "-q") == []
    assert said("-f", "name=de", "-f", "name=we", "-q") == ["dev", "web"]
    assert said("-l", "-q") == said("-n", "1", "-q") == ["web"]
    table = said("--format", "table {{.Names}}\t{{.Image}}")
    assert [line.split() for line in table] == [["NAMES", "IMAGE"], ["dev", "debian"], ["web", "debian"]]
    assert json.loads(said("--format", "json")[1])["Labels"] == "team=x"
    assert said("--format", '{{.Label "team"}}') == ["", "x"]
    assert dispatch(["ps", "--filter", "colour=red"]) == 2
    assert "ancestor" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["status", "=x", "bogus=1"])
def test_unknown_filters_are_refused(text: str) -> None:
    with pytest.raises(Error, match="--filter"):
        select([], [text], FILTERS)


def test_images_have_formats(stand_in: StandIn, capsys: Capture) -> None:
    stand_in.answers["GET", "/v1/images"] = [IMAGE, IMAGE | {"name": "team/app:1"}]
    assert dispatch(["images", "--format", "{{.Repository}} {{.Tag}}", "-a"]) == 0
    assert capsys.readouterr().out == "debian 12\nteam/app 1\n"
    for words in (["-q", "team/app"], ["-q", "--filter", "reference=team/*"]):
        assert dispatch(["images", *words]) == 0
        assert capsys.readouterr().out == "team/app:1\n"


def test_inspect_has_the_fields_of_docker_and_our_own(stand_in: StandIn, capsys: Capture) -> None:
    assert (
        dispatch(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.state}} {{.Name}}", "dev"]) == 0
    )
    assert capsys.readouterr().out == "running 3 running /dev\n"
    assert dispatch(["inspect", "dev", "debian:12"]) == 0
    machine, image = json.loads(capsys.readouterr().out)
    assert machine["NetworkSettings"]["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert image["Id"] == image["digest"] == "sha256:ab"
    assert dispatch(["inspect", "nope"]) == 125
    said = capsys.readouterr()
    assert said.out == "[]\n" and "no machine, image, network or volume is named 'nope'" in said.err
    assert dispatch(["inspect", "--type", "image", "dev"]) == 125


def test_inspect_keeps_the_values_of_variables_to_itself(stand_in: StandIn, capsys: Capture) -> None:
    command = {"argv": ["sh"], "env": {"TOKEN": "geheim"}}
    stand_in.answers["GET", "/v1/machines/dev"] = MACHINE | {"spec": {"image": "debian", "command": command}}
    dispatch(["inspect", "dev"])
    said = capsys.readouterr().out
    assert "TOKEN" in said and "geheim" not in said
    dispatch(["inspect", "--show-env", "-f", "{{.Config.Env}}", "dev"])
    assert capsys.readouterr().out == "[TOKEN=geheim]\n"


def test_port_prints_where_a_port_leads_from(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["port", "dev"]) == dispatch(["port", "dev", "80"]) == 0
    assert capsys.readouterr().out == "80/tcp -> 127.0.0.1:8080\n127.0.0.1:8080\n"
    assert dispatch(["port", "dev", "81"]) != 0
    assert "banger vm port add dev 0:81" in capsys.readouterr().err
    assert dispatch(["port", "add"]) == 2


def test_pruning_asks_first_and_says_what_goes(stand_in: StandIn, capsys: Capture) -> None:
    pruned = {"count": 2, "freed_bytes": 3 << 20, "directory": "/t"}
    stand_in.answers["POST", "/v1/images/prune"] = pruned
    stand_in.answers["POST", "/v1/networks/prune"] = []
    stand_in.answers["GET", "/v1/machines"] = [MACHINE | {"state": "stopped"}]
    assert dispatch(["prune", "--dry-run", "--machines"]) == 0
    assert "machines would be removed: dev" in capsys.readouterr().out
    assert not [path for method, path in stand_in.calls if "prune" in path and "dry_run=true" not in path]
    assert dispatch(["prune"]) == 2  # no terminal to ask on
    assert "--force" in capsys.readouterr().err
    assert not [path for method, path in stand_in.calls if "prune" in path and "dry_run=true" not in path]
    assert dispatch(["prune", "-f"]) == 0
    assert ("POST", "/v1/images/prune") in stand_in.calls
    assert ("DELETE", "/v1/machines/dev") not in stand_in.calls
    assert dispatch(["container", "prune", "-f"]) == 0
    assert stand_in.calls[-1] == ("DELETE", "/v1/machines/dev")


def test_save_accepts_the_words_of_podman(stand_in: StandIn, tmp_path: Path, capsys: Capture) -> None:
    asked: list[list[str]] = []

    async def save(request: Request) -> Response:
        query = request.query_params
        asked.append([query["name"], *query.getlist("also")])
        return Response(b"archive")

    stand_in.answers["GET", "/v1/images/save"] = save
    file = tmp_path / "all.tar"
    assert dispatch(["save", "-o", str(file), "a"]) == 0
    for form in ("docker-archive", "oci-archive"):
        assert dispatch(["save", "-q", "-m", "--format", form, "-o", str(file), "a", "b:1", "c&d"]) == 0
    assert dispatch(["image", "save", "-o", str(file), "a", "b"]) == 0
    assert asked == [["a"], *[["a", "b:1", "c&d"]] * 2, ["a", "b"]]
    assert file.read_bytes() == b"archive"
    capsys.readouterr()
    assert dispatch(["save", "--format", "oci-dir", "-o", str(tmp_path / "d"), "a"]) == 125
    assert "tar -x" in capsys.readouterr().err
    assert dispatch(["save", "--format", "zip", "-o", str(file), "a"]) == 2
    assert dispatch(["save", "-o", str(file)]) == 2
    assert len(asked) == 4


def test_load_tries_the_forms_of_archives(stand_in: StandIn, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "saved.tar"
    file.write_bytes(b"x")
    asked: list[str] = []
    known = [f"docker-archive:{file}:@0", f"docker-archive:{file}:@1"]

    async def pull(request: Request) -> Response:
        asked.append((await request.json())["ref"])
        if asked[-1] in known:
            return JSONResponse(OPERATION)
        return JSONResponse({"error": {"code": "image_not_found", "message": "none"}}, 404)

    stand_in.answers["POST", "/v1/images/pull"] = pull
    assert dispatch(["load", "-i", str(file)]) == 0
    assert capsys.readouterr().out == "Loaded image: debian:12\n" * 2
    assert asked == [*known, f"docker-archive:{file}:@2"]
    known[:] = [f"oci-archive:{file}"]
    assert dispatch(["load", "-i", str(file)]) == 0
    assert asked[-2:] == [f"docker-archive:{file}:@0", f"oci-archive:{file}"]
    known.clear()
    assert dispatch(["load", "-i", str(file)]) == 125
    assert dispatch(["load", "-i", str(tmp_path / "none")]) == 1


@pytest.mark.parametrize(
    ("limit", "widths"),
    [
        (100, [9, 20, 7, 30]),
        (60, [9, 18, 7, 20]),
        (45, [9, 10, 7, 7]),
        (30, [9, 7, 7]),
        (20, [9, 7]),
        (5, [9]),
    ],
)
def test_columns_fit_the_terminal(limit: int, widths: list[int]) -> None:
    fitted = fit_columns([9, 20, 7, 30], [4, 5, 3, 6], limit)
    total = sum(fitted) + 2 * (len(fitted) - 1)
    assert len(fitted) == len(widths) and fitted[0] == 9
    assert total <= limit or len(fitted) == 1


@pytest.mark.parametrize("columns", [60, 80])
def test_a_table_on_a_terminal_has_no_line_that_wraps(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(terminal, "output_width", lambda: columns)
    row = ["proud-cherry-a9", "running", "2 minutes", "registry.lan:5000/team/app:1.2", "127.0.0.1:8080->80"]
    print_table(["name", "state", "age", "image", "ports"], [row])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns and "proud-cherry-a9" in lines[1] and "…" in lines[1]
    for text in (overview(columns), *(noun_overview(noun, columns) for noun in NOUNS)):
        assert max(map(len, text.splitlines())) <= columns


def test_states_have_colours_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(terminal, "is_terminal", lambda fd: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_table(["name", "state"], [["dev", "running"], ["web", "running (unhealthy)"], ["x", "?"]])
    said = capsys.readouterr().out
    assert "\x1b[32mrunning\x1b[0m" in said and "\x1b[31mrunning (unhealthy)\x1b[0m" in said
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            print_table(["name", "state"], [["dev", "running"]])
        assert "\x1b" not in capsys.readouterr().out
    assert output.age("2020-01-01T00:00:00Z").endswith("years")


def test_print_formatted_escapes_what_commands_a_terminal(capsys: Capture) -> None:
    print_formatted([{"Name": "a\x1b[2Jb"}], "{{.Name}}")
    assert capsys.readouterr().out == "a\\x1b[2Jb\n"


def plan(words: str) -> dict[str, Any]:
    verb = load_verb("vm", "run")
    arguments = verb.parse(verb.parser("banger vm run", "x"), shlex.split(words))
    return {"argv": arguments.command, **plan_spec(arguments, None)}


@pytest.mark.parametrize(
    ("words", "planned"),
    [
        ("-m 512m -c 2 debian", {"memory_mib": 512, "cpus": 2}),
        ("--cpus 0.5 debian", {"cpus": 1, "cpu_limit": 0.5}),
        ("--cpus=1.5 debian", {"cpus": 2, "cpu_limit": 1.5}),
        ("-h web debian", {"hostname": "web"}),
        ("-l a=b --label c debian", {"labels": {"a": "b", "c": ""}}),
        ("--init debian ls", {"init": "agent", "argv": ["ls"]}),
        ("--init image debian", {"init": "image"}),
        ("--init=entrypoint debian", {"init": "entrypoint"}),
        ("--init --rm debian ls --init", {"init": "agent", "remove": True, "argv": ["ls", "--init"]}),
        ("--rm=true --cold=false debian", {"remove": True}),
        ("--stop-signal INT --stop-timeout 3 debian", {"stop_signal": "INT", "stop_grace_s": 3.0}),
        (
            "--health-cmd 'true && true' --health-interval 5s --health-retries 2 debian",
            {"healthcheck": {"test": ["/bin/sh", "-c", "true && true"], "interval_s": 5.0, "retries": 2}},
        ),
        ("--privileged --cap-add SYS_ADMIN --shm-size=1g --userns host debian ls", {"argv": ["ls"]}),
        (
            "--log-opt max-size=1m -a stdout --cap-add=X debian sh --privileged",
            {"argv": ["sh", "--privileged"]},
        ),
        ("--privileged=false debian", {}),
        ("--read-only=false debian", {}),
    ],
)
def test_run_has_the_options_of_docker(words: str, planned: dict[str, Any]) -> None:
    assert plan(words) == {"image": "debian", "argv": [], **planned}


def test_what_means_nothing_is_said_once_and_what_would_be_missing_is_refused(capsys: Capture) -> None:
    plan("--cap-add A --cap-add B --privileged debian --pid host")
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in said] == ["--cap-add", "--privileged"]
    assert all("means nothing here: " in line for line in said)
    plan("-q --privileged debian")
    assert capsys.readouterr().err == ""
    for name, (valued, instead) in REFUSED.items():
        with pytest.raises(UsageError, match=f"banger has no {name}$") as caught:
            plan(f"{name}{' x' if valued else ''} debian")
        assert caught.value.hint == instead
    assert not REFUSED.keys() & ACCEPTED.keys()
    known = set(load_verb("vm", "run").parser("banger vm run", "x").names)
    assert not known & (REFUSED.keys() | ACCEPTED.keys())


@pytest.mark.parametrize("verb", FOREIGN)
def test_other_verbs_accept_or_refuse_options_by_name(verb: str, capsys: Capture) -> None:
    foreign, (_, noun, name) = FOREIGN[verb], verb.split()
    parser = load_verb(noun, name).parser(verb, "x")
    assert not {*parser.names} & (foreign.accepted.keys() | foreign.refused.keys())
    assert not foreign.accepted.keys() & foreign.refused.keys()
    words = [f"x{number}" for number, each in enumerate(parser.positionals) if each.nargs != "?"]
    for option, (valued, why) in foreign.accepted.items():
        load_verb(noun, name).parse(parser, [option, *(["value"] if valued else []), *words])
        said = "" if option in ("-q", "--quiet") else f"banger: {option} means nothing here: {why}\n"
        assert capsys.readouterr().err == said
    for option, (valued, instead) in foreign.refused.items():
        with pytest.raises(UsageError, match=f"banger has no {option}$") as caught:
            load_verb(noun, name).parse(parser, [option, *(["value"] if valued else []), *words])
        assert caught.value.hint == instead


def test_a_line_that_is_wrong_in_another_way_says_so(capsys: Capture) -> None:
    assert dispatch("stop --nonsense dev".split()) == 2
    assert "unknown option --nonsense" in capsys.readouterr().err
    assert dispatch("commit -m words".split()) == 2
    said = capsys.readouterr().err
    assert "-m means nothing here" in said and "required" in said


@pytest.mark.parametrize(
    "words", ["--cpus 0 debian", "--disk 1 debian", "--disk 0 debian", "--pull sometimes debian", "-h"]
)
def test_values_that_make_no_sense_are_refused(words: str) -> None:
    with pytest.raises((UsageError, SystemExit)):
        plan(words)


def test_memory_of_nothing_reaches_the_rule_of_the_api() -> None:
    assert plan("--memory 0 debian")["memory_mib"] == 0


def test_a_healthcheck_needs_a_command() -> None:
    with pytest.raises(Error, match="need a command"):
        plan("--health-interval 5s debian")


def test_h_alone_is_help(capsys: Capture) -> None:
    assert dispatch(["run", "-h"]) == 0
    text = capsys.readouterr().out
    for title in ("command:", "machine:", "start and end:", "network:", "limits on this host:", "health:"):
        assert f"\n{title}\n" in text
    assert text.count("(default: ") > 25


def test_help_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(terminal, "output_width", lambda: 60)
    assert dispatch(["run", "--help"]) == 0
    head = capsys.readouterr().out.partition("\nexample:")[0]
    assert max(map(len, head.splitlines())) <= 60
    parser = load_verb("vm", "run").parser("banger vm run", "run")
    assert max(map(len, parser.format_help().splitlines())) > 60, "only what was printed is fitted"


def test_pull_never_and_platform_are_looked_at_first(stand_in: StandIn, capsys: Capture) -> None:
    assert dispatch(["run", "--pull", "never", "--rm", "nope", "echo"]) == 125
    assert "nothing at" in capsys.readouterr().err
    stand_in.answers["GET", "/v1/images/nope"] = gone
    assert dispatch(["run", "--pull", "never", "--rm", "nope", "echo"]) == 125
    assert "nope is not here, and --pull never" in capsys.readouterr().err
    assert stand_in.requests == []
    assert dispatch(["run", "--platform", "linux/riscv64", "debian", "echo"]) == 2
    assert "machines of this host are linux/" in capsys.readouterr().err
    own = os.uname().machine
    assert dispatch(["create", "--platform", f"linux/{own}", "--pull", "always", "debian"]) == 0
    assert ("POST", "/v1/images/pull") in stand_in.calls


async def gone(asked: Request) -> Response:
    return JSONResponse({"error": {"code": "image_not_found", "message": "none"}}, 404)


def test_the_name_of_the_machine_goes_to_a_file(stand_in: StandIn, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "cid"
    assert dispatch(["run", "-d", "--cidfile", str(file), "debian", "cat"]) == 0
    assert file.read_text() == "dev"
    assert dispatch(["run", "-d", "--cidfile", str(file), "debian", "cat"]) == 2
    assert "exists" in capsys.readouterr().err


def test_an_image_has_the_short_id_that_its_digest_begins_with(stand_in: StandIn, capsys: Capture) -> None:
    stand_in.answers["GET", "/v1/images"] = [IMAGE | {"digest": "7c9304d5a1413e04" * 4}]
    dispatch(["images", "--format", "{{.ID}}"])
    assert capsys.readouterr().out == "7c9304d5a141\n"


@pytest.mark.parametrize(
    ("kind", "is_for_memory"), [("oom", "true"), ("memory_limit", "true"), ("poweroff", "false")]
)
def test_inspect_tells_a_kill_for_memory(
    kind: str, is_for_memory: str, stand_in: StandIn, capsys: Capture
) -> None:
    stand_in.answers["GET", "/v1/machines/dev"] = MACHINE | {"ending": {"kind": kind}}
    dispatch(["inspect", "-f", "{{.State.OOMKilled}}", "dev"])
    assert capsys.readouterr().out == f"{is_for_memory}\n"


def test_inspect_tells_a_failure_of_the_last_kind_that_it_asks_for_as_itself(
    stand_in: StandIn, capsys: Capture
) -> None:
    stand_in.answers["GET", "/v1/networks/gone"] = failed
    assert dispatch(["inspect", "gone"]) == 125
    assert "the relay does not answer" in capsys.readouterr().err


async def failed(asked: Request) -> Response:
    return JSONResponse({"error": {"code": "internal", "message": "the relay does not answer"}}, 500)
