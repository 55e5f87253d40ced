"""Metrics: counted in bounds, told in the format of Prometheus, and only to those whom the daemon knows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from banger.engine.measuring import Measuring
from banger.errors import Error
from banger.host.proc import child_ref
from banger.machines.keep import upkeep
from banger.metrics.tally import BOUNDS_S, OTHERS, SERIES_MAX, Tally
from banger.model.machine import Machine, MachineState
from banger.model.operation import ErrorBody, Operation, OperationState
from banger.model.origin import ClonedFromTemplate
from banger.server import metrics
from tests.support.open_door import OpenDoor, open_door
from tests.unit.test_client_stand_in import MACHINE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    async def refuse(*_: object) -> Any:
        raise Error("tool_missing", "no such program")

    monkeypatch.setattr(upkeep, "disk_usage", refuse)
    with open_door(tmp_path) as found:
        yield found


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_metrics_are_for_known_callers_and_count_what_they_ask(house: OpenDoor) -> None:
    assert house.told("GET", "/metrics") == (401, "not_logged_in")
    reader = {"Authorization": f"Bearer {house.token(rights='read')}"}
    assert house.told("GET", "/v1/machines", reader) == (200, "")
    assert house.told("GET", "/v1/operations/none", reader) == (404, "operation_not_found")
    status, headers, body = house.ask("GET", "/metrics", reader)
    assert status == 200 and headers["content-type"].startswith("text/plain")
    found = samples(body.decode())
    assert found["banger_machines", (("state", "running"),)] == 0
    assert found["banger_request_seconds_count", (("verb", "machines.list"),)] == 1
    refused = (("code", "operation_not_found"), ("verb", "operations.get"))
    assert found["banger_request_errors_total", refused] == 1


def test_the_library_is_loaded_when_metrics_are_asked_for() -> None:
    code = "import banger.server.daemon, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_series_are_few_however_many_values_come() -> None:
    tally = Tally()
    for number in range(10 * SERIES_MAX):
        tally.count("request_errors", verb=f"v{number}", code='"\n{}')
        tally.observe("operation", 0.2, kind=f"k{number}", state="failed")
    for series in (tally.counters["request_errors"], tally.histograms["operation"]):
        assert len(series) == SERIES_MAX + 1
    told = (("code", OTHERS), ("verb", OTHERS))
    assert tally.counters["request_errors"][told] == 9 * SERIES_MAX


def test_a_histogram_counts_each_value_once() -> None:
    tally = Tally()
    values = [0.0, *BOUNDS_S, 1e9]
    for value in values:
        tally.observe("request", value, verb="x")
    ((_, one),) = tally.histograms["request"].items()
    reached = one.cumulative()
    assert reached == [sum(value <= bound for value in values) for bound in BOUNDS_S] + [len(values)]


def test_vmms_beyond_the_largest_share_a_series() -> None:
    ourselves = child_ref(os.getpid())
    more = metrics.MACHINES_MAX + 50
    memory, cpu = metrics._of_vmms([(f"m{number}", ourselves) for number in range(more)])
    assert len(memory.samples) == len(cpu.samples) == metrics.MACHINES_MAX + 1
    others = next(one for one in memory.samples if one.labels["machine"] == OTHERS)
    assert others.value > 10 * memory.samples[0].value > 0


def test_starts_and_operations_are_counted_by_what_they_were() -> None:
    tally = Tally()
    measuring = Measuring(tally)
    was = msgspec.convert({**MACHINE, "timings_ms": {}}, Machine)
    for timings, origin in [
        ({"resolve": 1.0, "restore": 20.0, "start": 30.0}, ClonedFromTemplate(template="x")),
        ({"template": 900.0, "restore": 20.0, "start": 950.0}, ClonedFromTemplate(template="x")),
        ({"start": 5.0}, None),
    ]:
        machine = msgspec.structs.replace(was, timings_ms=timings, origin=origin)
        measuring.hear_change(was, machine)
        measuring.hear_change(machine, machine)
    failed = msgspec.structs.replace(was, state=MachineState.FAILED)
    measuring.hear_change(was, failed)
    counts = {key[0][1]: sum(one.counts) for key, one in tally.histograms["machine_start"].items()}
    assert counts == {"pool": 1, "template": 1, "boot": 1}
    assert tally.counters["machine_failures"] == {(): 1}
    operation: Operation[Any] = Operation(
        id="1", kind="pull", target="image/x", state=OperationState.FAILED,
        begun="2026-01-01T00:00:00.000Z", ended="2026-01-01T00:00:02.000Z",
        error=ErrorBody(code="download_failed", message=""),
    )  # fmt: skip
    measuring.hear_end(operation)
    assert tally.counters["operation_failures"] == {(("code", "download_failed"), ("kind", "pull")): 1}


def test_every_count_has_a_text_and_the_dashboard_asks_for_metrics_that_exist() -> None:
    sources = [path.read_text() for path in (ROOT / "src/banger").rglob("*.py")]
    counted = {name for text in sources for name in re.findall(r'ally\.(?:count|observe)\(\s*"(\w+)"', text)}
    assert counted == set(metrics._HELP)
    known = {
        f"banger_{name}{end}" for name in counted for end in ("_total", "_seconds_bucket", "_seconds_count")
    }
    known |= {*re.findall(r'"(banger_\w+)"', (ROOT / "src/banger/server/metrics.py").read_text())}
    dashboard = json.loads((ROOT / "packaging/grafana-dashboard.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"banger_\w+", target["expr"])
    }
    assert asked and asked <= known
