"""An API in its own process whose answers cost the client as much as possible. Prints the API's URL."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "f" * 64


def model(schema):
    document = {"components": {"schemas": {"Input": {"type": "object", "properties": {"x": schema}}}}}
    return {"owner": "a", "name": "b", "latest_version": {"id": VERSION, "openapi_schema": document}}


def nested(depth):
    schema = {"type": "integer", "minimum": 5}
    for _ in range(depth):
        schema = {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "array", "maxItems": 0}, schema]}
    return {"type": "array", "items": schema}


ENUM = {"type": "array", "items": {"enum": [f"word-{number}" for number in range(100_000)]}}
MEMBERS = {
    "type": "array",
    "items": {"type": "object", "properties": {f"m{n}": {"type": "integer"} for n in range(4000)}},
}
PREDICTION = {
    "id": "p",
    "model": "a/b",
    "version": VERSION,
    "status": "succeeded",
    "input": {},
    "output": "x",
    "urls": {},
}
PAGE = {"results": [{**PREDICTION, "input": {"x": ["a"] * 900}} for _ in range(100)], "next": None}
EVENT = b"data: " + b"x" * 4_000_000 + b"\n\n" + b"event: done\ndata: {}\n\n"
ANSWERS = {
    "/v1/models/a/enum": model(ENUM),
    "/v1/models/a/nested": model(nested(15)),
    "/v1/models/a/members": model(MEMBERS),
    "/v1/predictions": PAGE,
    "/v1/account": [{}] * 200_000,
    "/v1/hardware": ["\u00e9" * 8_000_000],
    "/v1/collections": {"results": [], "next": "http://127.0.0.1/?cursor=" + "%41" * 2000},
    "/v1/trainings": {"results": [], "next": "http://127.0.0.1/?cursor=" + "a" * 8_000_000},
}
ENCODED = {path: json.dumps(answer).encode() for path, answer in ANSWERS.items()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/stream":
            self.answer(EVENT, "text/event-stream")
        else:
            self.answer(b"x" * 8_000_000 if path == "/file" else ENCODED.get(path, b"{}"))

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(json.dumps(PREDICTION).encode())

    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()
