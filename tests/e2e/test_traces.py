"""A run with traces: its spans arrive at a collector, as one trace."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.collector import open_collector
from tests.support.home import IMAGE, open_home, wait_until

pytestmark = pytest.mark.e2e


def test_a_run_is_one_trace_with_its_phases() -> None:
    with open_collector() as collector, open_home(config=f'[traces]\nendpoint = "{collector.url}"\n') as home:
        home.text("run", "--rm", "--cold", IMAGE, "--", "true", env={"BANGER_REQUEST": "traced"})
        wait_until(lambda: collector.named("stream_begin machines.run"), 30, "spans arrive")
        (begin,) = collector.named("stream_begin machines.run")
        (start,) = collector.named("machine_start")
        phases = {span.name: span for span in collector.spans if span.parent_span_id == start.span_id}
        assert {"resolve", "disk", "kernel", "identity"} <= phases.keys()
        trace = hashlib.sha256(b"traced").digest()[:16]
        assert {span.trace_id for span in (begin, start, *phases.values())} == {trace}
        assert start.start_time_unix_nano <= phases["resolve"].start_time_unix_nano
        lasted = start.end_time_unix_nano - start.start_time_unix_nano
        assert (
            sum(span.end_time_unix_nano - span.start_time_unix_nano for span in phases.values())
            <= 1.05 * lasted
        )
        home.run("pull", "127.0.0.1:9/nothing", env={"BANGER_REQUEST": "pulled"})
        wait_until(lambda: collector.named("operation pull"), 30, "spans arrive")
        (pull,) = collector.named("operation pull")
        assert pull.trace_id == hashlib.sha256(b"pulled").digest()[:16]
        assert {one.key: one.value.string_value for one in pull.attributes}["state"] == "failed"
