"""OpenTelemetry spans for each call of a run. Only the OpenTelemetry API is used, so the operator of the worker chooses
the SDK.

All spans of a run belong to one trace, whichever worker makes them: the trace id is derived from the run's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua._version import __version__
from kosmolua.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

    from kosmolua.gate.entry import Entry


def recorder(provider: TracerProvider | None = None) -> Callable[[Entry], None]:
    """A function that makes a span for each completed call. Raises a `ConfigurationError` if OpenTelemetry is not
    installed.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        raise ConfigurationError(
            "--spans: OpenTelemetry is not installed",
            hint="install it: pip install opentelemetry-distro opentelemetry-exporter-otlp; then start "
            "opentelemetry-instrument kosmo worker --spans",
        ) from None
    tracer = trace.get_tracer("kosmolua", __version__, provider)

    def record(entry: Entry) -> None:
        began = int(entry.at * 1e9)
        span = tracer.start_span(
            f"replicate.{entry.function}",
            _context_of(entry.run),
            trace.SpanKind.CLIENT,
            {
                "kosmo.run": entry.run,
                "kosmo.account": entry.account,
                "kosmo.outcome": entry.outcome,
                "kosmo.decision": entry.decision,
                **({} if entry.status is None else {"http.response.status_code": entry.status}),
                **({} if entry.code is None else {"error.type": entry.code}),
            },
            start_time=began,
        )
        if entry.outcome == "error":
            span.set_status(trace.StatusCode.ERROR, entry.code)
        span.end(began + int(entry.duration_ms * 1e6))

    return record


def _context_of(run: str) -> Context:
    from opentelemetry import trace

    digest = hashlib.sha256(run.encode()).digest()
    parent = trace.SpanContext(
        int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))
