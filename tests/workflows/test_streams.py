"""`stream` returns every character once, whatever happens to the connection."""

import json
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from waiting import let_pass, scaled

from kosmolua.errors import ScriptError
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.replicate.structs import decode_arguments
from kosmolua.services.streams import Streams

WRITE = '"meta/meta-llama-3-8b-instruct", { prompt = "the sea", max_tokens = 40, seed = 1 }'


@pytest.fixture
def whole(flow):
    """The model's text, as returned by run."""
    return lambda: flow(f"return (run({WRITE}))")


def test_events_are_in_order(flow, whole):
    """A stream has logs, output in pieces, and the end; as text, an event is its output."""
    names, text = flow(f"""
      local names, parts = {{}}, {{}}
      for event in stream({WRITE}) do
        names[#names + 1] = event.event
        parts[#parts + 1] = tostring(event)
      end
      return names, table.concat(parts)
    """)

    assert ("logs", "done") == (names[0], names[-1])
    assert names.count("output") > 20
    assert whole() == text


def test_events_can_be_concatenated(flow, whole):
    """`..` accepts an event on either side."""
    before, after = flow(f"""
      local before, after = "", ""
      for event in stream({WRITE}) do
        before, after = before .. event, event .. after
      end
      return before, after
    """)

    assert whole() == before
    assert len(before) == len(after)


def test_the_text_of_a_stream(flow, whole):
    """`:text()` waits for the end and joins the output."""
    assert whole() == flow(f"return stream({WRITE}):text()")


def test_concurrent_streams_of_two_accounts(flow, whole):
    """Each stream has its own text."""
    hills = WRITE.replace("the sea", "the hills")
    texts = flow(f"""
      local streams = {{ integrations.replicate.stream({WRITE}), integrations.replicate.default.stream({hills}) }}
      return parallel(streams, function(each) return each:text() end)
    """)

    assert [whole(), flow(f"return (run({hills}))")] == texts


def test_a_broken_stream_is_resumed(flow, whole):
    """After a lost connection the stream is reopened after the last event, without loss or repeats."""
    flow.serve("stream-cut:times=2")
    text = flow(f"return stream({WRITE}):text()")

    assert whole() == text
    assert 3 == sum("/stream/" in path for _, path, _ in flow.server.requests)


def test_the_servers_limit_of_a_connection(flow):
    """The server ends each connection after 30 seconds, and the loop continues."""
    flow.serve(speed=60)
    long = '"meta/meta-llama-3-8b-instruct", { prompt = "x", max_tokens = 4096, min_tokens = 4000, seed = 1 }'
    text, again = flow(f"return stream({long}):text(), (run({long}))")

    assert again == text
    assert 2 <= sum("/stream/" in path for _, path, _ in flow.server.requests)


def test_an_expired_stream(flow, whole):
    """If the stream is no longer available, the rest is read from the prediction."""
    flow.serve("500:stream:times=*")
    with pytest.raises(ScriptError, match="500"):
        flow(f"return stream({WRITE}):text()")
    flow.close()
    text = flow.serve()(f"""
      local prediction = replicate.create({WRITE})
      prediction.urls.stream = prediction.urls.stream .. "-no-more"
      return stream(prediction):text()
    """)

    assert whole() == text


def test_a_model_that_does_not_stream(flow):
    """The whole output is one event at the end."""
    events = flow("""
      local events = {}
      for event in stream("replicate/hello-world", { text = "Ada" }) do
        events[#events + 1] = { event.event, event.data }
      end
      return events
    """)

    assert [["output", "hello Ada"], ["done", "{}"]] == events


def test_a_failure_is_raised(flow):
    """The model's error, with the prediction, ends the loop."""
    with pytest.raises(ScriptError, match="ended as failed: out of ink") as caught:
        flow('for event in stream("kosmolua/always-fails", { message = "out of ink" }) do end')

    assert "prediction_failed" == caught.value.code


def test_leaving_the_loop_closes_the_connection(flow, whole):
    """Leaving the loop closes the connection; a later read continues at the same place."""
    open_now = _watched(flow)
    result = flow(f"""
      local s, parts = stream({WRITE}), {{}}
      for event in s do
        if event.event == "output" then parts[#parts + 1] = event.data end
        if #parts == 3 then break end
      end
      sleep(3.5)
      local between = integrations.replicate.get_account().username
      return {{ table.concat(parts) .. s:text(), between }}
    """)

    assert whole() == result[0]
    assert 2 == sum("/stream/" in path for _, path, _ in flow.server.requests)
    assert 0 == open_now()


def test_close_ends_the_stream_at_once(flow):
    """`:close()` ends the connection and the loop, but not the prediction."""
    result = flow(f"""
      local s = stream({WRITE})
      for event in s do
        if event.event == "output" then s:close() end
      end
      return {{ s() == nil, wait(s.prediction).status }}
    """)

    assert [True, "succeeded"] == result


def test_an_open_stream_does_not_delay_the_end(flow):
    """A script that has finished ends although a stream is open."""
    began = time.monotonic()
    flow.serve(speed=1)
    flow("""
      local s = stream("meta/meta-llama-3-8b-instruct", { prompt = "x", max_tokens = 4000, min_tokens = 4000 })
      race { function() s() for event in s do end end, function() sleep(0.3) end }
    """)

    assert time.monotonic() - began < scaled(10)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_unusual_text_is_unchanged(flow, end):
    """Text with unusual line ends, split within characters, is unchanged."""
    text = "a\u2028b\x85c\x0bd é 猫 end"
    frames = f":hi{end}{end}event: output{end}id: 1:0{end}data: {text}{end}{end}event: strange{end}data: x{end}{end}"
    frames += f"event: done{end}id: 1:1{end}data: {{}}{end}{end}"
    with _bytewise(frames.encode()) as url:
        flow.serve()
        flow.url = url
        got = flow("return stream { id = 'p', status = 'processing', urls = { stream = args[1] } }:text()",
                   args=[url.removesuffix("/v1") + "/stream/p"])  # fmt: skip

    assert text == got


def test_many_events_in_one_piece(flow):
    """Every event in one piece is returned."""
    words = [str(number) for number in range(100)]
    frames = "".join(f"event: output\nid: {word}\ndata: {word},\n\n" for word in words)
    with _bytewise((frames + "event: done\nid: end\ndata: {}\n\n").encode(), step=1 << 20) as url:
        flow.serve()
        flow.url = url
        got = flow("return stream { id = 'p', status = 'processing', urls = { stream = args[1] } }:text()",
                   args=[url.removesuffix("/v1") + "/stream/p"])  # fmt: skip

    assert [*words, ""] == got.split(",")


def test_a_stream_on_a_foreign_host_is_not_opened(flow):
    """A stream on a foreign host is not requested."""
    with pytest.raises(ScriptError, match="not an address of Replicate"):
        flow("stream { id = 'p', status = 'processing', urls = { stream = 'https://evil.example/s?token' } }:text()")

    assert [] == flow.server.requests


# Forms of streams --------------------------------------------------------------------------------------------------

GUIDE = [  # https://replicate.com/docs/topics/predictions/streaming: `done` without an id
    "event: output\nid: 1690212292:0\ndata: Once upon a time...\n\n",
    "event: output\nid: 1690212293:0\ndata: The end.\n\n",
    "event: done\ndata: {}\n\n",
]
WITH_IDS = [  # as in the JavaScript client's tests
    "event: output\nid: EVENT_1\ndata: hello\n\n",
    "event: output\nid: EVENT_2\ndata: hello\n\n",
    "event: done\nid: EVENT_3\ndata: {}\n\n",
]
SHARED = [  # several events after one id
    "event: output\nid: 1\ndata: a\n\n",
    "event: output\ndata: b\n\n",
    "event: output\ndata: c\n\n",
    "event: output\nid: 2\ndata: d\n\n",
    "event: output\ndata: d\n\n",
    "event: done\ndata: {}\n\n",
]
WITHOUT_IDS = [
    "event: output\ndata: x\n\n",
    "event: output\ndata: x\n\n",
    "event: output\ndata: y\n\n",
    "event: done\ndata: {}\n\n",
]
FORMS = {"guide": GUIDE, "ids": WITH_IDS, "shared": SHARED, "none": WITHOUT_IDS}
FOLLOW = """
  local texts = {}
  for at = tonumber(args[2]), tonumber(args[3]) do
    local url = args[1] .. "/stream/" .. at
    texts[#texts + 1] = stream({ id = "p", status = "processing", urls = { stream = url } }):text()
  end
  return texts
"""


def text_of(frames):
    data = [frame.split("data: ")[1].strip("\n") for frame in frames if "event: output" in frame]
    return "".join(data)


@pytest.mark.parametrize("resumes", [True, False], ids=["resumes", "begins-anew"])
@pytest.mark.parametrize("form", FORMS)
def test_cut_at_every_byte(flow, form, resumes):
    """The text is complete with one more request, whether the server continues after the last id or starts again."""
    frames = FORMS[form]
    length = len("".join(frames))
    with StreamServer(frames, resumes=resumes) as server:
        flow.serve()
        flow.url = server.url
        texts = flow(FOLLOW, args=[server.origin, "0", str(length)])

    assert [text_of(frames)] * (length + 1) == texts
    assert max(server.followed.values()) <= 2


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_without_an_end(flow, form):
    """After a few connections without new events the prediction is requested, and no event is repeated."""
    frames = FORMS[form][:-1]
    with StreamServer(frames) as server:
        flow.serve()
        flow.url = server.url
        texts = flow(FOLLOW, args=[server.origin, "999", "999"])

    assert [text_of(frames)] == texts
    assert 3 <= server.followed["999"] <= 6


def test_text_that_the_stream_lacked(flow):
    """Text in the prediction that the stream lacked comes at the end."""
    with StreamServer([WITHOUT_IDS[0]], output=["x", "and more"]) as server:
        flow.serve()
        flow.url = server.url

        assert ["xand more"] == flow(FOLLOW, args=[server.origin, "999", "999"])


@pytest.mark.parametrize(("reason", "status"), [("error", "failed"), ("canceled", "canceled")])
def test_an_end_with_a_reason_is_raised(flow, reason, status):
    """The reason is raised in a loop and with `:text()`, with and without an event id."""
    with StreamServer([GUIDE[0], f'event: done\ndata: {{"reason":"{reason}"}}\n\n'], status=status) as server:
        flow.serve()
        flow.url = server.url
        begin = "stream({ id = 'p', status = 'processing', urls = { stream = args[1] .. '/stream/999' } })"
        with pytest.raises(ScriptError, match=f"p ended as {status}") as caught:
            flow(f"for _ in {begin} do end", args=[server.origin])

    assert "prediction_failed" == caught.value.code


class StreamServer:
    """A server for a prediction and its stream. The stream's first connection is cut at the byte number in the URL."""

    def __init__(self, frames, *, resumes=True, status="succeeded", output=None):
        self.followed = Counter()
        owner = self
        output = [text_of(frames)] if output is None else output

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                if not self.path.startswith("/stream/"):
                    body = json.dumps({"id": "p", "status": status, "output": output, "urls": {}}).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                at = self.path.rpartition("/")[2]
                owner.followed[at] += 1
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                rest = "".join(frames[self._after() if resumes else 0 :])
                self.wfile.write((rest[: int(at)] if owner.followed[at] == 1 else rest).encode())

            def _after(self):
                last = self.headers.get("Last-Event-ID")
                with_id = [at for at, frame in enumerate(frames) if last and f"\nid: {last}\n" in frame]
                return with_id[0] + 1 if with_id else 0

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.origin}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def _watched(flow):
    """The number of event streams that the server is sending."""
    sending = []

    def wrap(application):
        def watched(environ, start_response):
            parts = application(environ, start_response)
            if "/stream/" not in environ["PATH_INFO"]:
                return parts
            return _Watched(parts, sending)

        watched.close = application.close
        return watched

    flow.serve(speed=1, wrap=wrap)
    return lambda: len(sending)


class _Watched:
    def __init__(self, parts, sending):
        self._parts, self._sending = parts, sending
        sending.append(self)

    def __iter__(self):
        return iter(self._parts)

    def close(self):
        self._sending.remove(self)
        if hasattr(self._parts, "close"):
            self._parts.close()


class _bytewise:  # noqa: N801 - used as a function
    """A server that answers the first request with a stream in pieces of this size, and later requests with 404."""

    def __init__(self, body, step=1):
        self._body, self._step = body, step
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __exit__(self, *_):
        self._listener.close()

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for start in range(0, len(self._body), self._step):
                connection.sendall(self._body[start : start + self._step])
        with suppress(OSError):  # until the client closes it
            while True:
                other, _ = self._listener.accept()
                with other:
                    other.recv(65536)
                    other.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def chatter():
    """A server for a stream with only comments, for as long as a client reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

        def talk(connection):
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                while True:
                    connection.sendall(b": still here\n\n")
                    let_pass(0.01)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_comments_count_as_silence(chatter):
    """A connection with only comments ends like a silent connection, and the script then reads the prediction."""

    def begin(url, account, after):
        return client.open(catalogue.STREAM, decode_arguments(catalogue.STREAM, {"url": url}))

    with Client(token="r8_x", base_url=f"{chatter}/v1") as client:
        streams = Streams(begin, patience=0.2)
        began = time.monotonic()
        found = streams.more(1, f"{chatter}/stream/p", "", None)
        streams.close()

    assert {"events": [], "over": True, "begun": True, "why": "no event for 0.2 s"} == found
    assert 0.2 <= time.monotonic() - began < scaled(2)
