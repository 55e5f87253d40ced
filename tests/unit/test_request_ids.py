"""One id leads from a command through the daemon's log to the operation that it began."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from banger.client.handshake import encode_handshake
from banger.client.request_id import VARIABLE, ensure_request_id
from banger.client.transport import prepare_head
from banger.model.asked import ASKED, Asked
from banger.server import logs


@pytest.mark.parametrize(
    ("given", "is_sent"),
    [("ci-7_x", True), ("", False), ("a b", False), ("x" * 65, False), ("a\r\nX: y", False)],
)
def test_an_id_is_sent_with_each_request_if_it_is_one(
    monkeypatch: pytest.MonkeyPatch, given: str, is_sent: bool
) -> None:
    monkeypatch.setenv(VARIABLE, given)
    for head in (prepare_head("GET", "/", None, ""), encode_handshake("/", "key")):
        assert (f"\r\nBanger-Request: {given}\r\n".encode() in head) == is_sent
        assert head.count(b"Banger-Request") == is_sent


def test_a_command_has_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    ensure_request_id()
    chosen = os.environ[VARIABLE]
    ensure_request_id()
    assert len(chosen) == 16 and os.environ[VARIABLE] == chosen
    monkeypatch.delenv(VARIABLE)


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("banger.x", logging.INFO, "", 0, message, (), None)


def test_lines_of_a_request_name_it() -> None:
    token = ASKED.set(Asked(request="r1", principal="uid 7"))
    try:
        assert logs._Plain("%(asked)s%(message)s").format(record("hello")) == "[r1 uid 7] hello"
        told = json.loads(logs._Json().format(record('two\nlines "x"')))
        assert told["request"] == "r1" and told["principal"] == "uid 7"
        assert told["message"] == 'two\nlines "x"' and "\n" not in logs._Json().format(record("a\nb"))
    finally:
        ASKED.reset(token)
    assert logs._Plain("%(asked)s%(message)s").format(record("hello")) == "hello"
    assert "request" not in json.loads(logs._Json().format(record("hello")))


def test_json_is_for_the_journal_alone(tmp_path: Path) -> None:
    info = os.fstat(2)
    assert logs._is_journal({"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"})
    for other in ("", "1:1", "x", f"{info.st_dev}", ":"):
        assert not logs._is_journal({"JOURNAL_STREAM": other})
