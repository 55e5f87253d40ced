"""What the daemon refuses is named by its option and a rule."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from banger.api.machines import ForkMachine, TaggedMachine
from banger.cli.complaint import reword
from banger.cli.failure import report, say_whose
from banger.errors import Error
from banger.model.command import ExecRequest
from banger.model.machine import RunRequest
from banger.server.calls import decode


def refused(kind: Any, body: object) -> Error:
    with pytest.raises(Error) as caught:
        decode(msgspec.json.encode(body), kind)
    return reword(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("memory_mib", 0, "--memory: must be at least 64MiB"),
        ("memory_mib", 1 << 40, "--memory: must be at most 1048576MiB"),
        ("cpus", 1000, "--cpus: must be at most 64"),
        ("restart", "bogus", "--restart: expected no, always, unless-stopped or on-failure[:N]"),
        ("boot_timeout_s", 0, "--boot-timeout: must be more than 0 seconds"),
        ("name", "x" * 65, "NAME: must have at most 64 characters"),
        ("image", "", "IMAGE: must have at least 1 character"),
        ("command", {"argv": ["a\0"]}, "CMD: an argument cannot contain a NUL"),
    ],
)
def test_an_option_and_a_rule(field: str, value: object, said: str) -> None:
    error = refused(RunRequest, {"spec": {"image": "x"} | {field: value}})
    assert error.message == said
    assert "openapi" not in error.hint


def test_other_bodies_too() -> None:
    assert refused(TaggedMachine, {"machine": "dev", "tag": "bad tag"}).message.startswith(
        "TAG: expected letters, digits"
    )
    assert refused(ForkMachine, {"machine": "dev", "count": 0}).message == "--count: must be at least 1"
    assert refused(ExecRequest, {"command": {"argv": ["x"] * (1 << 18 | 1)}}).message.startswith(
        "CMD: must have at most"
    )


def test_no_message_has_a_place_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    bodies: list[Any] = [
        {"spec": 3},
        {"spec": {"image": "x", "bogus": 1}},
        [],
        {"spec": {"image": "x", "cpus": "two"}},
    ]
    for body in bodies:
        with pytest.raises(Error) as caught:
            decode(msgspec.json.encode(body), RunRequest)
        assert report(caught.value) == 2
        said = capsys.readouterr().err
        assert "$" not in said and "openapi" not in said and "`." not in said


def test_an_exit_code_of_ours_is_said_to_be_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for code in range(256):
        say_whose(code)
        assert bool(capsys.readouterr().err) == (code in (125, 126, 127))


class Bounded(msgspec.Struct):
    """Each rule that msgspec knows."""

    low: Annotated[int, msgspec.Meta(ge=-5)] = 0
    high: Annotated[float, msgspec.Meta(le=0.5)] = 0
    above: Annotated[float, msgspec.Meta(gt=1)] = 2
    below: Annotated[int, msgspec.Meta(lt=7)] = 0
    long: Annotated[str, msgspec.Meta(min_length=2)] = "xx"
    many: Annotated[dict[str, int], msgspec.Meta(max_length=1)] = {}
    shaped: Annotated[str, msgspec.Meta(pattern="^a >= 3$")] = "a >= 3"


@pytest.mark.parametrize(
    ("field", "value", "rule", "said"),
    [
        ("low", -6, ("at_least", -5, ""), "low: must be at least -5"),
        ("high", 1, ("at_most", 0.5, ""), "high: must be at most 0.5"),
        ("above", 1, ("more_than", 1, ""), "above: must be more than 1"),
        ("below", 7, ("at_most", 6, ""), "below: must be at most 6"),
        ("long", "x", ("at_least", 2, "characters"), "long: must have at least 2 characters"),
        ("many", {"a": 1, "b": 2}, ("at_most", 1, "items"), "many: must have at most 1 item"),
        (
            "shaped",
            "x",
            ("pattern", None, None),
            "shaped: the value contains characters that are not allowed",
        ),
        ("low", "x", None, "low: Expected int, got str"),
    ],
)
def test_the_rule_is_a_fact_of_the_error(field: str, value: object, rule: Any, said: str) -> None:
    error = refused(Bounded, {field: value})
    told: Any = error.details.get("rule")
    assert (told and (told["kind"], told.get("bound"), told.get("counts"))) == rule
    assert error.message == said
