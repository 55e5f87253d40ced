"""The codes, their statuses and exit codes, and the page that explains them, are one table."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from banger.agent.connection import AgentRefused
from banger.errors import CODES, AgentError, AgentGone, BootFailure, Error

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)


def documented() -> dict[str, tuple[int, int]]:
    text = (ROOT / "docs/errors.md").read_text()
    return {code: (int(status), int(exit_code)) for code, status, exit_code, _, _ in ROW.findall(text)}


def test_the_page_has_every_code_with_its_status_and_exit_code() -> None:
    assert documented() == CODES


@pytest.mark.parametrize("code", CODES)
def test_statuses_are_errors_and_exit_codes_are_not_success(code: str) -> None:
    error = Error(code, "m")
    assert 400 <= HTTPStatus(error.http_status) < 600
    assert 0 < error.exit_code < 256


def test_every_code_that_the_source_raises_is_in_the_table() -> None:
    raised = re.compile(r"""\bError\(\s*["'](\w+)["']""")
    found = {code for path in (ROOT / "src").rglob("*.py") for code in raised.findall(path.read_text())}
    assert found - CODES.keys() == set()


def typed() -> dict[str, type[Error]]:
    return dict(Error._of_code)


@pytest.mark.parametrize("code", CODES)
def test_an_error_has_the_type_of_its_code_wherever_it_comes_from(code: str) -> None:
    made, received = Error(code, "m", hint="h"), Error.from_dict({"code": code, "message": "m"})
    assert type(made) is type(received) is typed().get(code, Error)
    assert (made.code, made.message, made.hint, str(made)) == (code, "m", "h", "m")


def test_types_are_of_codes_that_there_are_and_have_families() -> None:
    assert typed().keys() <= CODES.keys()
    assert isinstance(Error("agent_silent", "m"), AgentGone) and isinstance(
        Error("kernel_panic", "m"), BootFailure
    )


def test_a_type_of_its_own_stays_what_it_is() -> None:
    refused = AgentRefused("agent_error", "m")
    assert type(refused) is AgentRefused and not isinstance(refused, AgentError)


def test_an_unknown_code_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="unknown error code 'oops'"):
        Error("oops", "m")


def test_an_error_survives_the_way_through_the_api() -> None:
    sent = Error("in_use", "image x is in use", "remove machine y first", {"machines": ["y"]})
    received = Error.from_dict(sent.as_dict())
    assert received.as_dict() == sent.as_dict()
    assert (received.http_status, received.exit_code, str(received)) == (409, 125, "image x is in use")


@pytest.mark.parametrize(
    ("data", "code"),
    [({"code": "from_the_future"}, "internal"), ({}, "internal"), ({"code": 7}, "internal")],
)
def test_what_a_newer_daemon_says_is_still_an_error(data: dict[str, object], code: str) -> None:
    assert Error.from_dict({**data, "message": "m", "details": "not a table"}).as_dict() == {
        "code": code,
        "message": "m",
        "hint": "",
        "details": {},
    }
