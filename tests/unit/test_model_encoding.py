"""What names of files bring into answers and records is written as JSON can carry it."""

from __future__ import annotations

import json
import os

import pytest

from banger.errors import Error
from banger.model.encoding import encode_json
from banger.model.report import Leftover
from banger.server.calls import json_response

NAME = os.fsdecode(b"/state/machines/caf\xe9")
WRITTEN = "/state/machines/caf\0e9"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": [1, None, "caf\u00e9"]}, {"a": [1, None, "caf\u00e9"]}),
        ({NAME: [NAME, {"b": NAME}], "n": 1.5}, {WRITTEN: [WRITTEN, {"b": WRITTEN}], "n": 1.5}),
        (
            Leftover(kind="directory", what=NAME),
            {"kind": "directory", "what": WRITTEN, "removed": False, "problem": ""},
        ),
        (
            {"error": Error("internal", NAME).as_dict()},
            {"error": {"code": "internal", "message": WRITTEN, "hint": "", "details": {}}},
        ),
    ],
)
def test_names_that_are_no_text_can_be_read_again(value: object, read: object) -> None:
    assert json.loads(encode_json(value)) == read


def test_an_answer_with_such_a_name_is_one() -> None:
    assert json.loads(bytes(json_response([NAME]).body)) == [WRITTEN]
