"""How far a guest's clock is off, by what its agent says."""

from __future__ import annotations

import pytest

from banger.agent.guest_clock import read_clock_off_s
from banger.wire.constants import Tag
from banger.wire.fields import Fields, encode_fields

ASKED_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000


def off_s(clock_ns: int | None, took_ns: int) -> float:
    said = [] if clock_ns is None else [(Tag.CLOCK_NS, clock_ns)]
    return read_clock_off_s(Fields(encode_fields(said)), ASKED_NS, ASKED_NS + took_ns)


@pytest.mark.parametrize(
    ("clock_s", "took_s", "expected_s"),
    [
        (0, 1, 0.0),
        (1, 1, 0.0),
        (-3600, 1, -3600.0),
        (3601, 1, 3600.0),
        (9, 10, 0.0),  # it may have been read at the end of a long wait
        (12, 10, 2.0),
    ],
)
def test_only_what_the_time_of_asking_does_not_explain_counts(
    clock_s: int, took_s: int, expected_s: float
) -> None:
    assert off_s(ASKED_NS + clock_s * SECOND_NS, took_s * SECOND_NS) == expected_s


def test_an_agent_that_tells_no_time_is_not_wrong() -> None:
    assert off_s(None, SECOND_NS) == 0.0


@pytest.mark.parametrize("clock_ns", [-(2**63), 2**63 - 1])
def test_any_number_is_a_time(clock_ns: int) -> None:
    assert abs(off_s(clock_ns, 0)) > 1e9
