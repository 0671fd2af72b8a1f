#!/usr/bin/env bash
# Packages: llama-index-llms-replicate 0.7.0 and replicate 1.0.7 (PyPI).
# Expected: `context_window` tells LlamaIndex how long a prompt may be. It is not sent.
# Found: it is sent with each call as the input `max_length`, the most tokens that the model writes (3,900 by default).
#   `temperature` is sent too, whether or not the model has such an input.
# For users: kosmolua sends the inputs that are given, and refuses names that the model's schema does not have before
#   anything is paid. With LlamaIndex pass `additional_kwargs={"max_length": …}`; docs/official-clients.md says so.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check llama-index-llms-replicate==0.7.0 replicate==1.0.7
seen=$(venv/bin/python -W ignore - 2>/dev/null <<'PYTHON'
import http.server, json, os, threading

inputs = []


class Api(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        inputs.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"])
        made = {"id": "p1", "model": "owner/name", "version": "v", "input": {}, "status": "starting"}
        made |= {"created_at": "2026-01-01T00:00:00Z", "urls": {"get": base, "stream": f"{base}/stream"}}
        self.send(json.dumps({**made, "output": None, "logs": "", "error": None}), "application/json")

    def do_GET(self):
        self.send("event: output\nid: 1:0\ndata: a fox\n\nevent: done\nid: 2:0\ndata: {}\n\n", "text/event-stream")

    def send(self, text, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_address[1]}"
os.environ["REPLICATE_API_TOKEN"] = "unused"
import replicate

replicate.default_client._base_url = base  # there is no option for it
from llama_index.llms.replicate import Replicate

for options in ({}, {"context_window": 100000}, {"additional_kwargs": {"max_length": 200}}):
    Replicate(model="owner/name", **options).complete("hello")
    print(options, inputs.pop())
PYTHON
)
echo "llama-index-llms-replicate 0.7.0, replicate 1.0.7:"; echo "$seen"
[ "$seen" = "{} {'prompt': 'hello', 'temperature': 0.75, 'max_length': 3900}
{'context_window': 100000} {'prompt': 'hello', 'temperature': 0.75, 'max_length': 100000}
{'additional_kwargs': {'max_length': 200}} {'prompt': 'hello', 'temperature': 0.75, 'max_length': 200}" ]
