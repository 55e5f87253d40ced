"""Traces for OpenTelemetry: what is measured becomes spans, too, which an exporter sends by OTLP over HTTP.

All spans that one request began, or one command of the command line, have one trace: its id is made from the id of the
request, which the logs have, too. The libraries are loaded only if the configuration or the environment asks for
traces (`pip install 'banger-vm[otel]'`), since they cost 100 ms and 30 MiB.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from banger.errors import Error
from banger.metrics.tally import Tally
from banger.model.asked import ASKED

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("banger.traces")

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_NEEDED = "opentelemetry.exporter.otlp"
# Phases that the guest measured, amid others: there is no time at which they began.
_OF_GUEST = "guest_"
# For one export, with all its tries: at its end, the daemon waits for the few that are left.
_EXPORT_S = 1.0


def begin_tally(endpoint: str, environment: Mapping[str, str], version: str) -> Tally:
    """A tally, which also tells traces if there is an endpoint. Blocking. Raises `unsupported` without the
    libraries."""
    place = endpoint or environment.get(ENDPOINT, "")
    if not place:
        return Tally()
    try:
        found = importlib.util.find_spec(_NEEDED)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Error("unsupported", f"traces for {place} need more packages", "pip install 'banger-vm[otel]'")
    return TracedTally(_begin_export(place, version))


def _begin_export(place: str, version: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = Resource.create({"service.name": "bangerd", "service.version": version})
    provider = TracerProvider(resource=about, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{place.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    log.info("traces go to %s", place)
    return provider


class TracedTally(Tally):
    """A tally whose observations are spans that end now. Belongs to the daemon's loop; a thread sends them."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__()
        self._provider = provider
        self._tracer = provider.get_tracer("banger")
        self._start: Context | None = None
        self._phase_begun_ns = 0

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        super().observe(name, seconds, **labels)
        if name == "machine_start_phase":
            self._note_phase(labels["phase"], seconds)
            return
        begun_ns = time.time_ns() - int(seconds * 1e9)
        what = labels.get("verb") or labels.get("kind") or ""
        span = self._tracer.start_span(
            f"{name} {what}".strip(), _context(), attributes=labels, start_time=begun_ns
        )
        span.end()
        if name == "machine_start":  # its phases are observed next, in their order
            from opentelemetry.trace import set_span_in_context

            self._start, self._phase_begun_ns = set_span_in_context(span), begun_ns

    def count(self, name: str, **labels: str) -> None:
        super().count(name, **labels)
        if "code" in labels:
            from opentelemetry.trace import StatusCode

            span = self._tracer.start_span(f"{name} {labels['code']}", _context(), attributes=labels)
            span.set_status(StatusCode.ERROR, labels["code"])
            span.end()

    def _note_phase(self, phase: str, seconds: float) -> None:
        if phase.startswith(_OF_GUEST) or self._start is None:
            return
        begun_ns = self._phase_begun_ns
        self._phase_begun_ns += int(seconds * 1e9)
        self._tracer.start_span(phase, self._start, start_time=begun_ns).end(self._phase_begun_ns)

    def close(self) -> None:
        """Send what is left, for some seconds at most. Blocking."""
        self._provider.shutdown()


def _context() -> Context:
    """The trace of the request that the present task works for."""
    from opentelemetry import trace
    from opentelemetry.context import Context

    asked = ASKED.get()
    if asked is None:
        return Context()
    digest = hashlib.sha256(asked.request.encode()).digest()
    parent = trace.SpanContext(
        int.from_bytes(digest[:16]),
        int.from_bytes(digest[16:24]),
        True,
        trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
