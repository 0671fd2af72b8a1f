"""A loopback server that creates predictions and counts them, for many clients at once."""

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class CountingServer:
    """Counts predictions: ``made`` has the ids of all of them. Every third one has ended when its create is answered,
    and the others when they are first read. ``before`` is called with each id, after the create is counted and before
    it is answered."""

    def __init__(self, before=lambda identifier: None):
        self.made = []
        self.looked_at = []
        self._numbers = itertools.count()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                number = next(outer._numbers)
                outer.made.append(f"p{number}")
                before(f"p{number}")
                self._answer(201, prediction(f"p{number}", "succeeded" if number % 3 == 0 else "starting"))

            def do_GET(self):
                identifier = self.path.rpartition("/")[2]
                outer.looked_at.append(identifier)
                self._answer(200, prediction(identifier, "succeeded"))

            def _answer(self, status, data):
                body = json.dumps(data).encode()
                head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def prediction(identifier, status):
    metrics = {"metrics": {"predict_time": 0.5, "image_output_count": 1}} if status == "succeeded" else {}
    return {"id": identifier, "model": "owner/images", "status": status, "input": {"num_outputs": 2}, **metrics}
