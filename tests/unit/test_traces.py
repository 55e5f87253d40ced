"""Traces: what is measured becomes spans of the request that it belongs to, and nothing is loaded for those who want
none."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import time

import pytest

from banger.errors import Error
from banger.metrics.tally import Tally
from banger.metrics.traces import ENDPOINT, TracedTally, begin_tally
from banger.model.asked import ASKED, Asked
from tests.support.collector import open_collector


def test_without_an_endpoint_nothing_is_loaded() -> None:
    code = (
        "import sys; import banger.server.daemon; from banger.metrics.traces import begin_tally\n"
        "tally = begin_tally('', {}, '1'); tally.observe('request', 0.1, verb='x'); tally.count('e', code='c')\n"
        "print(type(tally).__name__, [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Tally []\n"


def test_traces_that_cannot_be_are_said_when_the_daemon_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Error, match="need more packages") as caught:
        begin_tally("", {ENDPOINT: "http://127.0.0.1:1"}, "1")
    assert caught.value.code == "unsupported" and "banger-vm[otel]" in caught.value.hint


def test_what_is_measured_becomes_spans_of_one_trace() -> None:
    with open_collector() as collector:
        tally = begin_tally(collector.url + "/", {}, "1.2")
        assert isinstance(tally, TracedTally)
        token = ASKED.set(Asked(request="r1", principal="uid 7"))
        try:
            before = time.time_ns()
            tally.observe("machine_start", 2.0, origin="boot")
            for phase, seconds in (("resolve", 0.5), ("guest_mounts", 0.3), ("kernel", 1.0)):
                tally.observe("machine_start_phase", seconds, phase=phase)
            tally.observe("operation", 3.0, kind="pull", state="succeeded")
            tally.count("request_errors", verb="machines.get", code="machine_not_found")
        finally:
            ASKED.reset(token)
        tally.observe("request", 0.1, verb="machines.list")
        tally.close()
        (start,), (resolve,), (kernel,) = map(collector.named, ("machine_start", "resolve", "kernel"))
        assert collector.paths == {"/v1/traces"} and collector.services == {"bangerd"}
        assert resolve.parent_span_id == kernel.parent_span_id == start.span_id
        assert resolve.start_time_unix_nano == start.start_time_unix_nano
        assert kernel.start_time_unix_nano == resolve.end_time_unix_nano
        assert kernel.end_time_unix_nano - kernel.start_time_unix_nano == 10**9
        assert abs(start.end_time_unix_nano - before) < 10 * 10**9
        trace = hashlib.sha256(b"r1").digest()[:16]
        named = {span.name: span for span in collector.spans}
        assert named.keys() == {
            *("machine_start", "resolve", "kernel", "operation pull", "request_errors machine_not_found"),
            "request machines.list",
        }
        assert {name for name, span in named.items() if span.trace_id != trace} == {"request machines.list"}
        assert named["request_errors machine_not_found"].status.code == 2
        assert tally.histograms["machine_start"]  # and it is counted all the same


def test_a_collector_that_is_not_there_keeps_nobody_waiting() -> None:
    tally = begin_tally("http://127.0.0.1:9", {}, "1")
    begun = time.monotonic()
    for _ in range(5000):
        tally.observe("request", 0.1, verb="machines.list")
    assert time.monotonic() - begun < 5
    tally.close()
    assert time.monotonic() - begun < 20


def test_a_tally_without_traces_has_nothing_to_send() -> None:
    Tally().close()
