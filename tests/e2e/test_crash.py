"""Daemons, VMMs, keeper and relay killed at random moments, for a while; `make crash` does it for longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.driver import Round, as_user_of
from tests.crash.homes import crash_home, reset
from tests.crash.report import Report
from tests.support.home import Home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

_KILLS = 30
# A host that has other things to do kills less.
_LIMIT_S = 60.0


@pytest.fixture(scope="module")
def pooled_home() -> Iterator[Home]:
    with crash_home() as home:
        yield home


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_whatever_is_killed_nothing_is_lost_and_nothing_left(pooled_home: Home, seed: int) -> None:
    report = Report(seed)
    with as_user_of(pooled_home) as client:
        fine = Round(pooled_home, client, report, 1).play(_KILLS, _LIMIT_S)
        if not fine:
            reset(pooled_home)
    print(report)
    assert fine, report.findings[0]
    assert report.kill_count > 0
