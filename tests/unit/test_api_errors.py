"""What a verb can raise stands in its row, as far as the source tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from banger.api.table import SESSIONS, VERBS
from banger.api.verb import Session, Verb
from banger.engine import attachments
from banger.engine.surface import HANDLERS
from banger.errors import CODES
from banger.server.openapi import OF_ALL, OF_HTTP, OVER_TCP, describe_api
from tests.support.raised import raised_by, said_in

# Of every verb, as docs/api.md says.
COMMON = {
    "bad_request",
    "bad_spec",
    "insufficient_disk",
    "internal",
    "not_permitted",
    "payload_too_large",
    "store_damaged",
    "store_failed",
}
# Functions that a verb calls, and that do not fail there.
NEVER = {
    "builtin_index": "the catalog that banger brings along is tested",
    "ensure_private_directory": "of what the daemon has looked at when it started",
    "_migrate": "of a store that the daemon has opened already",
    "cancel": "an operation that the verb began itself is there",
    "settle": "what goes wrong with one machine is in the log",
}
# Codes that a function has for others than this verb.
NOT_OF = {
    ("machines.get_files", "archive_invalid"): "of archives that the agent reads",
    ("machines.stat_file", "archive_invalid"): "of archives that the agent reads",
    ("images.register", "bad_size"): "sizes of the configuration are checked when it is read",
    ("volumes.export", "bad_size"): "sizes of the configuration are checked when it is read",
    ("machines.pause", "agent_lost"): "of requests that wait for an answer when their session ends",
    ("system.disk_usage", "not_released"): "it looks, and removes nothing",
}
ALL: tuple[Verb[Any, Any] | Session[Any], ...] = (*VERBS, *SESSIONS)
BY_NAME = {one.name: one for one in ALL}


def found_in(one: Verb[Any, Any] | Session[Any]) -> dict[str, tuple[str, ...]]:
    handler = HANDLERS.get(one.name) or attachments.SESSIONS[one.name]
    is_operation = isinstance(one, Verb) and one.status == 202  # whose failure is its own
    return raised_by(handler.__module__, handler.__name__, follows_work=not is_operation, never=NEVER)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_row_lists_what_its_verb_can_raise(name: str) -> None:
    one = BY_NAME[name]
    missing = {
        code: " > ".join(way)
        for code, way in found_in(one).items()
        if code not in COMMON and code not in one.errors and (name, code) not in NOT_OF
    }
    assert not missing


def test_no_exception_is_left_over() -> None:
    for name, code in NOT_OF:
        assert code in found_in(BY_NAME[name]) and code not in BY_NAME[name].errors


@pytest.mark.parametrize("name", BY_NAME)
def test_a_row_has_each_code_once_and_none_that_all_have(name: str) -> None:
    errors = BY_NAME[name].errors
    assert len(set(errors)) == len(errors)
    assert not set(errors) & COMMON


def test_the_document_has_each_error_with_its_status_and_an_example() -> None:
    assert {*OF_ALL} == COMMON
    paths = describe_api()["paths"]
    for one in ALL:
        method = one.method.lower() if isinstance(one, Verb) else "get"
        path = one.documented_path if isinstance(one, Verb) else one.path
        responses = paths[path][method]["responses"]
        for code in {*one.errors, *OF_ALL, *OF_HTTP, *OVER_TCP}:
            told = responses[str(CODES[code][0])]["content"]["application/json"]
            assert told["examples"][code]["value"]["error"]["code"] == code
            assert code in told["schema"]["properties"]["error"]["properties"]["code"]["enum"]
        assert "default" not in responses


def test_the_page_names_what_all_have() -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    sentence = page.partition("Every verb may answer ")[2].partition(".")[0]
    assert set(sentence.split("`")[1::2]) == COMMON


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("said", {"agent_lost"}),
        ("itself", {"timeout", "internal"}),
        ("by_call", {"timeout", "internal"}),
        ("by_method", {"bad_state"}),
        ("by_attribute", {"bad_state"}),
        ("by_property", {"in_use"}),
        ("by_item", {"bad_state"}),
        ("in_a_block", {"bad_state"}),
        ("in_a_thread", {"timeout", "internal"}),
        ("seen_off", {"bad_state"}),
        ("caught", {"cancelled"}),
        ("suppressed", set()),
        ("on_its_own", set()),
        ("contract", {"vmm_failed"}),
        ("given", {"tool_missing"}),
    ],
)
def test_the_walk_finds(
    function: str, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "banger").mkdir()
    (tmp_path / "banger/walked_for_a_test.py").write_text(SOURCE)
    monkeypatch.setattr("tests.support.raised.PACKAGE", tmp_path)
    assert set(raised_by("banger.walked_for_a_test", function, follows_work=True)) == expected


SOURCE = '''
class Machine:
    def stop(self):
        raise Error("bad_state", "")
    @property
    def name(self):
        raise Error("in_use", "")

class House:
    machine: Machine
    def __init__(self):
        self.all: dict[str, Machine] = {}

class Contract(Protocol):
    async def resume(self) -> None:
        """Go on. Raises `vmm_failed`, `SomeClass`. Not `unsupported`."""

async def said():
    """Raises `agent_lost`."""
async def itself(hasty):
    raise Error("timeout" if hasty else "internal", "")
async def by_call():
    await itself(True)
async def by_method(machine: Machine | None):
    machine.stop()
async def by_attribute(house: House):
    machine = house.machine
    return machine.stop()
async def by_property(house: House):
    return house.machine.name
async def by_item(house: House):
    house.all["x"].stop()
@asynccontextmanager
async def opened(house: House) -> AsyncIterator[Machine]:
    yield house.machine
async def in_a_block(house: House):
    async with opened(house) as machine:
        machine.stop()
async def in_a_thread():
    await in_thread(itself, True)
async def seen_off(machine: Machine):
    try:
        machine.stop()
    except BaseException:
        log()
        raise
async def caught(machine: Machine):
    try:
        machine.stop()
    except Error as exc:
        raise Error("cancelled", "") from exc
async def suppressed(machine: Machine):
    with suppress(Error):
        machine.stop()
async def on_its_own(machine: Machine):
    create_task(itself(True))
async def contract(vm: Contract):
    await vm.resume()
async def given():
    def work():
        raise Error("tool_missing", "")
    begin("x", work)
'''


def test_docstrings_are_read_as_they_are_written() -> None:
    assert said_in("It goes.\n\nRaises `timeout`, `vmm_failed` or\n`Corrupt`. And `in_use`.") == {
        "timeout",
        "vmm_failed",
    }
    assert said_in("It raises nothing `timeout`.") == set()
