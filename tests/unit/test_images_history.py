"""How images were made: what configurations tell, and what `banger history` makes of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from banger.cli.verbs.image_history import _lines
from banger.images.reference.documents import LAYER_GZIP, Layer
from banger.images.reference.history import steps_of

LAYERS = [Layer(f"sha256:{number}", number * 100, LAYER_GZIP, f"sha256:d{number}") for number in (1, 2)]
ADD = {"created": "2020-01-01T00:00:00Z", "created_by": "/bin/sh -c #(nop) ADD file:1 in / "}
ENV = {"created_by": "ENV A=1", "empty_layer": True, "comment": "buildkit"}
RUN = {"created_by": "RUN make"}


def told(history: Any) -> list[tuple[str, str, int]]:
    steps = steps_of(msgspec.Raw(json.dumps(history).encode()), LAYERS)
    return [(step.created_by, step.digest, step.size_bytes) for step in steps]


def test_steps_get_their_layers_and_those_without_files_get_none() -> None:
    assert told([ADD, ENV, RUN]) == [
        (ADD["created_by"], "sha256:1", 100),
        ("ENV A=1", "", 0),
        ("RUN make", "sha256:2", 200),
    ]


@pytest.mark.parametrize(
    "history",
    [
        None,
        [],
        [ADD],
        [ADD, RUN, RUN],
        "none",
        [1, 2],
        [{"created_by": 1}, RUN],
        {"0": ADD},
        [ADD, RUN] + [ENV] * 499,
    ],
)
def test_a_history_that_does_not_fit_its_layers_is_none(history: object) -> None:
    assert told(history) == [("", "sha256:1", 100), ("", "sha256:2", 200)]
    assert len(steps_of(None, LAYERS)) == 2


def test_texts_of_authors_are_cut() -> None:
    [(words, *_), _] = told([{"created_by": "x" * 100_000}, RUN])
    assert len(words) == 400


def test_a_deep_nest_is_no_history() -> None:
    assert len(steps_of(msgspec.Raw(b"[" * 100_000 + b"]" * 100_000), LAYERS)) == 2


def test_the_newest_step_is_first_and_has_the_id() -> None:
    image = {"digest": "sha256:" + "a" * 64, "steps": msgspec.to_builtins(steps_of(None, LAYERS))}
    image["steps"][0]["created_by"] = ADD["created_by"]
    lines = _lines(image, whole=False)
    assert [(line["ID"], line["CreatedBy"], line["Size"]) for line in lines] == [
        ("a" * 12, "", "200B"),
        ("<missing>", "/bin/sh -c #(nop) ADD file:1 in /", "100B"),
    ]
    assert _lines(image, whole=True)[1]["CreatedBy"] == ADD["created_by"]


def test_an_image_whose_steps_are_not_known_is_one_line() -> None:
    image = {"digest": "sha256:b", "source": "disk:/x.ext4", "layers": 3, "used_bytes": 2048, "steps": []}
    (line,) = _lines(image, whole=False)
    assert (line["CreatedBy"], line["Comment"]) == ("disk:/x.ext4", "3 layers in one disk")
