"""From words to arguments: verbs, the guest's command, durations, the environment."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.command import collect_environment
from banger.cli.dispatch import dispatch
from banger.cli.durations import describe_duration, parse_duration
from banger.cli.parser import Arguments, UsageError, load_verb, split_command
from banger.cli.table import NOUNS, SHORT_FORMS, find_noun, find_short_form, find_verb
from banger.cli.verbs.lifecycle import signal_number
from banger.cli.verbs.run import plan_spec
from banger.cli.verbs.survey import Surveyed, survey
from banger.errors import Error


def parse(noun: str, name: str, *words: str) -> Arguments:
    verb = load_verb(noun, name)
    return verb.parse(verb.parser(f"banger {noun} {name}", "x"), list(words))


@pytest.mark.parametrize(
    ("words", "image", "command"),
    [
        ("debian", "debian", []),
        ("debian ls -la", "debian", ["ls", "-la"]),
        ("debian -- ls -la", "debian", ["ls", "-la"]),
        ("-- debian ls", "debian", ["ls"]),
        ("debian -- -- ls", "debian", ["--", "ls"]),
        ("debian sh -c true -- x", "debian", ["sh", "-c", "true", "--", "x"]),
        ("--rm -it debian --rm -it", "debian", ["--rm", "-it"]),
        ("--name dev --memory=1GiB debian --name x", "debian", ["--name", "x"]),
        ("-e A=b -eC=d debian env", "debian", ["env"]),
        ("-ite A debian env", "debian", ["env"]),
        ("-iteA debian env", "debian", ["env"]),
        ("-w - debian -", "debian", ["-"]),
    ],
)
def test_everything_after_the_image_is_the_guests(words: str, image: str, command: list[str]) -> None:
    arguments = parse("vm", "run", *words.split())
    assert (arguments.image, arguments.command) == (image, command)


def test_options_of_run_become_the_spec() -> None:
    words = "--rm --name n --cpus 2 --memory 1GiB --disk 8G --init image --accel tcg --kernel k --cold"
    words += " --idle-pause 5m --ttl 2h --boot-timeout 1m"
    arguments = parse("vm", "run", *words.split(), "debian")
    assert plan_spec(arguments, None) == {
        "image": "debian",
        "name": "n",
        "cpus": 2,
        "memory_mib": 1024,
        "disk_bytes": 8 << 30,
        "init": "image",
        "accel": "tcg",
        "kernel": "k",
        "cold": True,
        "remove": True,
        "idle_pause_s": 300.0,
        "ttl_s": 7200.0,
        "boot_timeout_s": 60.0,
    }


def test_what_nobody_asked_for_is_left_to_the_daemon() -> None:
    assert plan_spec(parse("vm", "run", "debian"), None) == {"image": "debian"}


@pytest.mark.parametrize(
    ("words", "planned"),
    [
        (["--network", "lan"], {"network": "lan"}),
        (["--network", "front"], {"networks": [{"network": "front", "aliases": []}]}),
        (
            ["--network", "front", "--network", "none", "--network", "back", "--network-alias", "sql"],
            {
                "network": "none",
                "networks": [
                    {"network": "front", "aliases": ["sql"]},
                    {"network": "back", "aliases": ["sql"]},
                ],
            },
        ),
    ],
)
def test_a_network_is_a_policy_or_a_name(words: list[str], planned: dict[str, object]) -> None:
    assert plan_spec(parse("vm", "run", *words, "debian"), None) == {"image": "debian", **planned}


@pytest.mark.parametrize(
    "words", [["--network", "lan", "--network", "host"], ["--network", "lan", "--network-alias", "db"]]
)
def test_two_policies_or_an_alias_on_no_network_are_refused(words: list[str]) -> None:
    with pytest.raises(Error) as caught:
        plan_spec(parse("vm", "run", *words, "debian"), None)
    assert caught.value.code == "bad_spec"


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--cpus 0 debian",
        "--cpus x debian",
        "--memory 1KiB debian",
        "--memory 5x debian",
        "--bogus debian",
        "--timeout soon debian",
        "--init=systemd debian",
        "--nam dev debian",
    ],
)
def test_words_that_make_no_sense_are_usage_errors(words: str) -> None:
    with pytest.raises(UsageError):
        parse("vm", "run", *words.split())


@given(
    st.lists(st.sampled_from(["--rm", "-i", "-t", "--name", "x", "-e", "A=b", "--", "-", "cmd"]), max_size=8)
)
def test_splitting_loses_no_word_but_one_separator(words: list[str]) -> None:
    options = load_verb("vm", "run").parser("x", "x").options
    own, command = split_command(words, options, 1)
    assert own + command == words or [*own, "--", *command] == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("7", 7),
        ("1.5h", 5400),
        (" 2 S ", 2),
        ("1d", 86400),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1.2.3s", "1y", "soon", "9999d", "٣s", "1e3", "inf", "."])
def test_bad_durations_are_refused(text: str) -> None:
    with pytest.raises(Error, match="bad duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 second"),
        (0.85, "1 second"),
        (12, "12 seconds"),
        (90, "90 seconds"),
        (200, "3 minutes"),
        (5000, "83 minutes"),
        (100_000, "27 hours"),
        (700_000, "8 days"),
        (8e8, "25 years"),
    ],
)
def test_durations_are_written(seconds: float, text: str) -> None:
    assert describe_duration(seconds) == text


def test_the_environment_has_dockers_rules(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\n\nA=from file\n  B=x=y\nHOME\nUNSET\n")
    found = collect_environment(
        [str(file)], ["A=from option", "EMPTY=", "PATH", "NOPE"], {"HOME": "/h", "PATH": "p"}
    )
    assert found == {"A": "from option", "B": "x=y", "HOME": "/h", "EMPTY": "", "PATH": "p"}


@pytest.mark.parametrize("pair", ["=x", ""])
def test_a_variable_without_a_name_is_refused(pair: str) -> None:
    with pytest.raises(Error, match="bad environment variable"):
        collect_environment([], [pair], {})


def test_an_environment_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Error, match="No such file"):
        collect_environment([str(tmp_path / "none")], [], {})


@pytest.mark.parametrize(
    ("text", "number"), [("15", 15), ("TERM", 15), ("sigterm", 15), ("HUP", 1), ("SIGKILL", 9)]
)
def test_signals_have_numbers_and_names(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["0", "65", "-1", "FOO", ""])
def test_unknown_signals_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        signal_number(text)


@pytest.mark.parametrize("verb", [pytest.param(verb, id=verb.key) for verb in survey()])
def test_every_help_ends_with_an_example_that_can_be_parsed(
    verb: Surveyed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch([verb.noun, verb.name, "--help"]) == 0
    text = capsys.readouterr().out
    head, _, example = text.partition("\nexample:\n")
    assert head and example.strip()
    for line in example.strip().splitlines():
        words = shlex.split(line.partition("banger ")[2].removesuffix(")").partition(" |")[0])
        if short := find_short_form(words):
            words = [*short, *words[1:]]
        noun, name = str(find_noun(words[0])), words[1]
        assert (noun, find_verb(noun, name)) == (verb.noun, verb.name)
        parse(noun, verb.name, *words[2:])


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_the_overview_names_all_nouns_and_short_forms(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(words) == 0
    text = capsys.readouterr().out
    for word in [*NOUNS, *SHORT_FORMS, *(verb for verbs in NOUNS.values() for verb in verbs)]:
        assert f" {word}" in text


@pytest.mark.parametrize("words", [["vm"], ["help", "vm"], ["vm", "--help"]])
def test_a_noun_lists_its_verbs(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(words) == 0
    assert "run a command in a new machine" in capsys.readouterr().out


def test_help_of_a_verb_can_be_asked_for_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    dispatch(["help", "vm", "rm"])
    first = capsys.readouterr().out
    dispatch(["rm", "--help"])
    assert first == capsys.readouterr().out != ""


@pytest.mark.parametrize("words", [["bogus"], ["vm", "bogus"], ["vm", "run"], ["vm", "list", "extra"]])
def test_a_usage_error_is_two_lines_and_exit_code_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 2 and "hint:" in said.err
