"""A loopback API that delays answers for as long as a test needs, and records requests."""

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TERMINAL = ("succeeded", "failed", "canceled")


class HoldingServer:
    """Delays the answers that are named in ``hold``: "request" (nothing is created), "create" (created, but not
    answered), "get", "stream", "download". The first part of streams and downloads is sent at once."""

    def __init__(self, *hold):
        self.hold = set(hold)
        self.requests = []
        self.predictions = []
        self.listed = True  # whether lists contain the created predictions
        self._changed = threading.Condition()
        self._released = threading.Event()
        owner = self

        class Handler(_Handler):
            api = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self):
        return f"{self.origin}/v1"

    def close(self):
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def saw(self, method, ending, times=1, seconds=20):
        """Wait until the given number of such requests have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(method, ending) >= times, seconds), self.requests

    def count(self, method, ending):
        return sum(m == method and path.partition("?")[0].endswith(ending) for m, path in self.requests)

    def canceled(self):
        return [each["id"] for each in self.predictions if each["status"] == "canceled"]

    def note(self, method, path):
        with self._changed:
            self.requests.append((method, path))
            self._changed.notify_all()

    def held(self, name):
        if name in self.hold:
            self._released.wait()

    def create(self, fields, path, status="processing", **more):
        number = len(self.predictions) + 1
        parts = path.split("/")
        made = {
            "id": f"p{number}", "status": status, "input": fields["input"], "output": None, "error": None, "logs": "",
            "model": f"{parts[3]}/{parts[4]}" if "models" in parts else "", "version": fields.get("version", "hidden"),
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000Z",
            "urls": {
                "get": f"{self.url}/predictions/p{number}", "cancel": f"{self.url}/predictions/p{number}/cancel",
                "stream": f"{self.origin}/stream/p{number}",
            },
            **more,
        }  # fmt: skip
        self.predictions.insert(0, made)
        return made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: HoldingServer

    def log_message(self, *_):
        pass

    def handle(self):
        with suppress(ConnectionError):  # the client has closed the connection
            super().handle()

    def do_GET(self):
        self.api.note("GET", self.path)
        path = self.path.partition("?")[0]
        if path.startswith("/stream/"):
            self._begin("text/event-stream", b"event: output\nid: 1\ndata: first\n\n", "stream")
        elif path.startswith("/file/"):
            self._begin("image/png", b"PNG", "download", length=1000)
        elif path == "/v1/predictions":
            shown = self.api.predictions if self.api.listed else []
            self._answer(200, {"results": shown, "next": None, "previous": None})
        elif path.startswith("/v1/predictions/"):
            self.api.held("get")
            found = [each for each in self.api.predictions if each["id"] == path.rpartition("/")[2]]
            self._answer(200 if found else 404, found[0] if found else {})
        else:
            self._answer(404, {})

    def do_POST(self):
        fields = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if self.path.endswith("/cancel"):
            found = next(each for each in self.api.predictions if each["id"] == self.path.split("/")[-2])
            found["status"] = "canceled"
            self.api.note("POST", self.path)
            self._answer(200, found)
            return
        if "request" in self.api.hold:
            self.api.note("POST", self.path)
            self.api.held("request")
            return
        made = self.api.create(fields, self.path)
        self.api.note("POST", self.path)
        self.api.held("create")
        self._answer(201, made)

    def _answer(self, status, data):
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self, kind, piece, name, length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        if length:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(piece)
        self.wfile.flush()
        self.close_connection = True
        self.api.held(name)
