"""Metrics in the format of Prometheus. Its library is loaded when metrics are asked for, and never before."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from banger import __version__
from banger.engine.engine import Engine
from banger.errors import Error
from banger.host.proc import ProcessRef, cpu_seconds, rss_bytes
from banger.host.thread import in_thread
from banger.machines.keep import upkeep
from banger.metrics.tally import BOUNDS_S, OTHERS, Tally
from banger.model.machine import MachineState
from banger.model.report import DiskUsage

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
# Series of single machines: the largest ones; all others share one.
MACHINES_MAX = 100
# Files are counted at most this often.
_DISKS_S = 60.0
_HELP = {
    "machine_start": "Time until a machine runs, by what it came from",
    "machine_start_phase": "Time of each phase of a start",
    "machine_failures": "Machines that could not be started",
    "operation": "Time of operations (pulls of images, starts, ...) by kind and end",
    "operation_failures": "Operations that failed, by the code of the error",
    "request": "Time until a request has its answer, or the answer begins, by verb",
    "request_errors": "Requests that were refused or failed, by verb and code",
    "stream_begin": "Time until a command of a stream (run, exec) has started, or an attachment stands",
}


class Exposition:
    """What `/metrics` answers; lives as long as the daemon."""

    def __init__(self, engine: Engine, tally: Tally) -> None:
        self._engine = engine
        self._tally = tally
        self._disks: DiskUsage | None = None
        self._measured = float("-inf")
        self._turn = asyncio.Lock()

    async def text(self) -> bytes:
        """All metrics. Clients that ask at the same time wait for one another."""
        async with self._turn:
            disks = await self._disk_usage()
            machines = self._engine.registry.all()
            states = Counter(machine.state.value for machine in machines)
            vmms = self._engine.lives.vmms()
            running = sum(not operation.ended for operation in self._engine.operations.list())
            return await in_thread(self._written, states, vmms, running, disks)

    async def _disk_usage(self) -> DiskUsage | None:
        if time.monotonic() - self._measured > _DISKS_S:
            engine = self._engine
            try:
                self._disks = await upkeep.disk_usage(engine.makings, engine.lives, engine.snapshots)
            except Error:
                self._disks = None  # a program of the host is missing: all else can be told
            self._measured = time.monotonic()
        return self._disks

    def _written(
        self, states: Counter[str], vmms: list[tuple[str, ProcessRef]], running: int, disks: DiskUsage | None
    ) -> bytes:
        from prometheus_client.exposition import generate_latest
        from prometheus_client.registry import CollectorRegistry

        registry = CollectorRegistry(auto_describe=False)
        registry.register(
            _Found([*_gauges(states, running, disks), *_of_vmms(vmms), *_of_tally(self._tally)])
        )
        return generate_latest(registry)


class _Found:
    """Metrics that are known already, as the library collects them."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


def _gauges(states: Counter[str], running: int, disks: DiskUsage | None) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    info = GaugeMetricFamily("banger_info", "Always 1", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    machines = GaugeMetricFamily("banger_machines", "Machines by state", labels=["state"])
    for state in MachineState:
        machines.add_metric([state.value], states[state.value])
    yield machines
    yield GaugeMetricFamily("banger_operations_running", "Operations that run", value=running)
    if disks is None:
        return
    used = GaugeMetricFamily("banger_disk_bytes", "Disk space by what takes it", labels=["kind"])
    count = GaugeMetricFamily("banger_disk_items", "How many things take it", labels=["kind"])
    for room in disks.rooms:
        used.add_metric([room.kind], room.bytes)
        count.add_metric([room.kind], room.count)
    yield from (used, count)
    yield GaugeMetricFamily(
        "banger_disk_free_bytes", "Free space of the cache's disk", value=disks.free_bytes
    )


def _of_vmms(vmms: list[tuple[str, ProcessRef]]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    used = sorted(((rss_bytes(ref), cpu_seconds(ref), name) for name, ref in vmms), reverse=True)
    told, rest = used[:MACHINES_MAX], used[MACHINES_MAX:]
    if rest:
        told.append((sum(one[0] for one in rest), sum(one[1] for one in rest), OTHERS))
    memory = GaugeMetricFamily("banger_vmm_memory_bytes", "Resident memory of a VMM", labels=["machine"])
    cpu = GaugeMetricFamily("banger_vmm_cpu_seconds", "Processor time of a VMM", labels=["machine"])
    for rss, seconds, name in told:
        memory.add_metric([name], rss)
        cpu.add_metric([name], seconds)
    yield from (memory, cpu)


def _of_tally(tally: Tally) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

    for name, counted in tuple(tally.counters.items()):
        labels = _labels(counted)
        counter = CounterMetricFamily(f"banger_{name}", _HELP[name], labels=labels)
        for key, value in tuple(counted.items()):
            counter.add_metric([text for _, text in key], value)
        yield counter
    for name, timed in tuple(tally.histograms.items()):
        histogram = HistogramMetricFamily(f"banger_{name}_seconds", _HELP[name], labels=_labels(timed))
        for key, one in tuple(timed.items()):
            bounds = [*map(str, BOUNDS_S), "+Inf"]
            buckets = [*zip(bounds, one.cumulative(), strict=True)]
            histogram.add_metric([text for _, text in key], buckets, one.total_s)
        yield histogram


def _labels(series: dict[Any, Any]) -> list[str]:
    return [name for name, _ in next(iter(series))]
