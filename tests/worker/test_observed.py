"""Workers provide metrics for Prometheus, spans for OpenTelemetry, and a log in JSON."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
from opentelemetry import trace
from waiting import wait_until

from kosmolua.cli import main
from kosmolua.gate.entry import Entry
from kosmolua.journal.records import Head
from kosmolua.serve import metrics, spans
from kosmolua.worker import runs, triggers
from kosmolua.worker.database import Database

SCRIPT = b"""
local r = integrations.replicate
return r.wait(r.create("replicate/hello-world", { text = "x" })).status
"""
LINE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def scraped(port):
    """The metrics as a dictionary of texts."""
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert 200 == answer.status_code
    return dict(LINE.findall(answer.text))


@contextmanager
def program(directory, *words, status=0):
    """A command in a process that ends with this status; its log is a file."""
    environment = {**os.environ, "KOSMO_STATE_DIR": str(directory / "state"), "KOSMO_CONFIG_DIR": str(directory)}
    with (directory / "log").open("wb") as log:
        made = subprocess.Popen([sys.executable, "-m", "kosmolua", *words], env=environment, stderr=log, stdout=log)
    try:
        yield made
    except AssertionError:
        raise AssertionError((directory / "log").read_text()[-4000:]) from None
    finally:
        made.send_signal(signal.SIGTERM)
        assert status == made.wait(30), (directory / "log").read_text()


def test_metrics_and_log_of_a_worker(url, database, tmp_path):
    """The metrics have runs by state, calls by function and outcome, polls and renewals; each line of the log is an
    object.
    """
    port = free_port()
    flags = ("--emulate", "--metrics", f"{port}", "--log-format", "json", "--lease", "4", "--park-after", "1")
    with program(tmp_path, "worker", "--database", url, *flags):
        wait_until(lambda: "is ready" in (tmp_path / "log").read_text())
        run, _ = runs.submit(database, Head(script="s.lua", source=SCRIPT))
        bad, _ = runs.submit(database, Head(script="b.lua", source=b"error('no luck')"))
        wait_until(lambda: {runs.find(database, each).state for each in (run, bad)} == {"done", "failed"})
        wait_until(lambda: scraped(port)['kosmo_runs{state="done"}'] == "1.0")
        wait_until(lambda: float(scraped(port)['kosmo_lease_renewals_total{outcome="ok"}']) > 1)
        found = scraped(port)

    assert ("1.0", "0.0", "1.0") == (
        found['kosmo_runs{state="failed"}'],
        found['kosmo_runs{state="ready"}'],
        found["kosmo_workers"],
    )
    assert "1.0" == found["kosmo_database_up"]
    assert any(name.startswith('kosmo_calls_total{function="create_prediction",outcome="ok"') for name in found)
    assert {"kosmo_queue_length", "kosmo_poll_requests_total", "kosmo_approvals_open"} <= set(found)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"at", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    states = [line["state"] for line in lines if line.get("run") == run and line["logger"] == "kosmolua.worker"]
    assert ("running", "done") == (states[0], states[-1])
    assert ["create_prediction"] == [
        line["function"] for line in lines if line.get("run") == run and line.get("access") == "write"
    ]
    (failed,) = [line for line in lines if line.get("run") == bad and line.get("state") == "failed"]
    assert "no luck" in failed["error"]


def test_metrics_of_the_webhook_server(url, database, tmp_path):
    """Received requests are counted by outcome, on another port than the public one."""
    secret = triggers.add(database, "orders", Head(script="s.lua", source=b"return 1"))
    port, own = free_port(), free_port()
    flags = ("--emulate", "--port", f"{port}", "--metrics", f"{own}")
    with program(tmp_path, "webhooks:serve", "--database", url, *flags):
        wait_until(lambda: "serving" in (tmp_path / "log").read_text())
        path = f"http://127.0.0.1:{port}/trigger/orders"
        codes = [
            httpx.post(path, headers={"authorization": f"Bearer {each}"}).status_code for each in (secret, "x", secret)
        ]
        found = scraped(own)
        assert 404 == httpx.get(f"http://127.0.0.1:{port}/metrics").status_code

    assert [202, 401, 202] == codes
    counted = [found[f'kosmo_requests_total{{outcome="{each}"}}'] for each in ("started", "unauthorized")]
    assert ["2.0", "1.0"] == counted
    assert "2.0" == found['kosmo_runs{state="ready"}']


def told(port, sent):
    """The beginning of the server's answer, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        with suppress(ConnectionError):
            client.sendall(sent)
        found = b""
        with suppress(ConnectionError):
            while more := client.recv(65_536):
                found += more
    return found[:12]


def test_the_port_for_metrics_is_limited(database):
    """A long head, many connections and other paths are refused; the metrics are still available after that."""
    port = free_port()
    stop = metrics.serve(metrics.Metrics(database), port)
    try:
        long = told(port, b"GET /metrics HTTP/1.1\r\nhost: x\r\n" + b"x: " + b"a" * 200_000)
        with ExitStack() as stack:
            for _ in range(2 * metrics.CONNECTIONS):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            busy = wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 503 or None)
        others = [
            httpx.request(method, f"http://127.0.0.1:{port}{path}").status_code
            for method, path in (("GET", "/"), ("GET", "/metrics/x"), ("POST", "/metrics"))
        ]
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 200)
    finally:
        stop()

    assert (b"HTTP/1.1 431", True, [404, 404, 405]) == (long, busy, others)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_without_a_database(server, database, url):
    """A scrape without a database succeeds and reports the problem."""
    made = metrics.Metrics(database)
    from prometheus_client import generate_latest

    assert b"kosmo_database_up 1.0" in generate_latest(made.registry)
    away = Database(url, size=1)
    away.close()
    assert b"kosmo_database_up 0.0" in generate_latest(metrics.Metrics(away).registry)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["worker", "--metrics", "PORT"], 4, "--metrics: cannot listen on 127.0.0.1:"),
        (["worker", "--metrics", "x"], 2, "--metrics"),
        (["worker", "--log-format", "xml"], 2, "--log-format"),
    ],
)
def test_invalid_options(words, status, said, url, monkeypatch, capsys):
    """A port that is in use and invalid values are reported."""
    monkeypatch.setenv("KOSMO_DATABASE", url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"{taken.getsockname()[1]}"
        assert status == main([port if word == "PORT" else word for word in words])

    assert said in capsys.readouterr().err


# Spans ------------------------------------------------------------------------------------------------------------


class Span(trace.NonRecordingSpan):
    """A span that records its data."""

    def __init__(self, name, context, attributes, began):
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.name, self.attributes, self.began, self.ended = name, attributes, began, None
        self.trace_id = trace.get_current_span(context).get_span_context().trace_id
        self.status = None

    def set_status(self, status, description=None):
        self.status = (status, description)

    def end(self, end_time=None):
        self.ended = end_time


class Provider(trace.TracerProvider, trace.Tracer):
    """A tracer like that of an SDK, which records its spans."""

    def __init__(self):
        self.spans = []

    def get_tracer(self, *_, **__):
        return self

    def start_span(self, name, context=None, kind=None, attributes=None, *_, start_time=None, **__):
        self.spans.append(Span(name, context, attributes, start_time))
        return self.spans[-1]

    def start_as_current_span(self, *_, **__):
        raise NotImplementedError


def test_spans():
    """Each call has one span with its times; all spans of a run are in one trace, whichever worker creates them."""
    first, second = Provider(), Provider()
    call = Entry("create_prediction", "work", "write", 100.0, outcome="ok", status=201, duration_ms=250.0, run="aa")
    spans.recorder(first)(call)
    failed = Entry("get_prediction", "work", "read", 101.0, outcome="error", code="not_found", run="aa")
    spans.recorder(second)(failed)
    spans.recorder(second)(Entry("get_account", "work", "read", 101.0, run="bb"))

    (one,), (other, another) = first.spans, second.spans
    assert ("replicate.create_prediction", 100_000_000_000, 100_250_000_000) == (one.name, one.began, one.ended)
    assert ("aa", "work", "ok", 201) == tuple(
        one.attributes[name] for name in ("kosmo.run", "kosmo.account", "kosmo.outcome", "http.response.status_code")
    )
    assert (trace.StatusCode.ERROR, "not_found") == other.status
    assert one.trace_id == other.trace_id != another.trace_id
    assert 0 not in {one.trace_id, another.trace_id}
