"""A template that could not be made is tried again soon, then less and less often."""

from __future__ import annotations

from banger.templates.library import Failed, plan_retry


def test_a_slow_moment_costs_little_and_a_lasting_fault_is_not_tried_all_the_time() -> None:
    failed: Failed | None = None
    pauses = []
    for _ in range(10):
        failed = plan_retry(failed, 1000.0, "the host is slow")
        assert failed.retry_at == 1000.0 + failed.pause_s and failed.why == "the host is slow"
        pauses.append(failed.pause_s)
    assert pauses[0] <= 10 and pauses == sorted(pauses) and pauses[-1] == pauses[-2] == 600
