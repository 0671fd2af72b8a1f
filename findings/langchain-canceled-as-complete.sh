#!/usr/bin/env bash
# Packages: langchain-community 0.4.2 and replicate 1.0.7 (PyPI).
# Expected: a prediction that is canceled while it runs raises an error, as one that failed does.
# Found: the text that the model had written so far is returned as the answer, with no sign that it is incomplete.
# For users: `run` and `wait` of kosmolua raise `prediction_failed` for a canceled prediction, and name it;
#   docs/official-clients.md names this difference.
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
for status in ("failed", "canceled"):
    answers[:] = [prediction("starting"), prediction(status, ["Once", " upon"])]
    try:
        print(status, repr(Replicate(model="owner/name").invoke("hello")))
    except RuntimeError as error:
        print(status, "raised RuntimeError")
PYTHON
)
echo "langchain-community 0.4.2, replicate 1.0.7:"; echo "$seen"
[ "$seen" = "failed raised RuntimeError
canceled 'Once upon'" ]
