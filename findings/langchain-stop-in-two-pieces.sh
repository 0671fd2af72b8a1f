#!/usr/bin/env bash
# Packages: langchain-community 0.4.2 and replicate 1.0.7 (PyPI).
# Expected: with `stop=["END"]` the text ends before END, streamed or not.
# Found: if the model sends END in two pieces, the streamed text ends with the first piece of END.
# For users: kosmolua has no stop sequences: `stream` returns the pieces as they arrive. Search all text received so far,
#   and do not print an end that could begin a stop sequence. docs/official-clients.md names this difference.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env && env/bin/pip install --quiet --disable-pip-version-check langchain-community==0.4.2 replicate==1.0.7
seen=$(env/bin/python -W ignore - 2>/dev/null <<'PYTHON'
import http.server, json, os, threading

posts, answers, inputs = [], [], {}


def next_answer():
    return answers.pop(0) if len(answers) > 1 else answers[0]


class Api(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST":
            posts.append(json.loads(body or b"{}"))
        version = {"id": "v", "created_at": "2026-01-01T00:00:00Z", "cog_version": "0.16.12"}
        version["openapi_schema"] = {"components": {"schemas": {"Input": {"properties": inputs}}}}
        model = {"url": "", "owner": "owner", "name": "name", "visibility": "public", "run_count": 1}
        given = next_answer() if "predictions" in self.path else {**model, "latest_version": version}
        data = json.dumps(given).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_address[1]}"
os.environ.update(REPLICATE_API_TOKEN="unused", REPLICATE_POLL_INTERVAL="0.01")
import replicate

replicate.default_client._base_url = base  # there is no option for it
from langchain_community.llms import Replicate


def prediction(status, output=None):
    urls = {"get": f"{base}/v1/predictions/p1", "cancel": f"{base}/v1/predictions/p1/cancel"}
    made = {"id": "p1", "model": "owner/name", "version": "v", "input": {}, "logs": "", "error": None}
    return {**made, "status": status, "output": output, "created_at": "2026-01-01T00:00:00Z", "urls": urls}


inputs.update(prompt={"type": "string", "x-order": 0})
outputs = [["a fox"], ["a fox", " EN"], ["a fox", " EN", "D of"], ["a fox", " EN", "D of", " it"]]
for streaming in (False, True):
    started = [prediction("processing", output) for output in outputs]
    answers[:] = [prediction("starting"), *started, prediction("succeeded", outputs[-1])]
    print(streaming, repr(Replicate(model="owner/name", stop=["END"], streaming=streaming).invoke("hello")))
PYTHON
)
echo "langchain-community 0.4.2, replicate 1.0.7:"; echo "$seen"
[ "$seen" = "False 'a fox '
True 'a fox EN'" ]
