"""The recorded conversations, and a server that repeats them."""

import json
import re
from collections import defaultdict, deque
from pathlib import Path
from urllib.parse import urlsplit

CONVERSATIONS = json.loads((Path(__file__).parent / "conversations.json").read_text())["conversations"]
HOST = re.compile(r"https://[\w.-]+\.replicate\.(?:com|net)")  # the hosts that the server replaces
STREAM_HOST = re.compile(r"https://streaming-api[\w.-]+\.replicate\.net")  # another host, outside the API's base URL
STREAMS = "/streaming"
NOT_RECORDED = {"status": 404, "answer": {"title": "Not found", "detail": "not recorded", "status": 404}}


class Replay:
    """A WSGI application that gives the recorded answers, in order for each method, path and body. The last answer to a
    GET is repeated. Requests that were not recorded get 404.
    """

    def __init__(self, exchanges):
        self._answers = defaultdict(deque)
        self._streams = {}
        for exchange in exchanges:
            self.add(exchange)

    def add(self, exchange):
        self._answers[_key(exchange["method"], exchange["path"], exchange.get("sent"))].append(exchange)

    def stream(self, url, events):
        """Answer a request for this stream with these events. Streams have their own host, not below /v1."""
        self._streams[STREAMS + urlsplit(url).path] = events

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if path in self._streams:
            kind, status, data = "text/event-stream", 200, self._streams[path]
        else:
            exchange = self._next(method, _key(method, path, json.loads(body) if body else None))
            kind, status = "application/json", exchange["status"]
            here = f"http://{environ['HTTP_HOST']}"
            answer = STREAM_HOST.sub(here + STREAMS, json.dumps(exchange["answer"]))
            data = HOST.sub(here, answer)
        content = data.encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        start_response(f"{status} Replayed", headers)
        return [content]

    def _next(self, method, key):
        answers = self._answers.get(key)
        if not answers:
            return NOT_RECORDED
        return answers[0] if method == "GET" and len(answers) == 1 else answers.popleft()

    def close(self):
        pass


def _key(method, path, sent):
    return method, path, json.dumps(sent, sort_keys=True)
