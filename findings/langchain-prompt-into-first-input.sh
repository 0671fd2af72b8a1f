#!/usr/bin/env bash
# Packages: langchain-community 0.4.2 and replicate 1.0.7 (PyPI).
# Expected: the prompt goes to the input called `prompt`, if the model has one.
# Found: it goes to the input that the schema lists first. For a model whose first input is `image`, the text is sent as
#   the image. Of the 2,794 public models with an input `prompt` (npm all-the-public-replicate-models 1.352.0) that is so
#   for 287, yorickvp/llava-13b among them.
# For users: kosmolua sends each input by its name. In LangChain pass `prompt_key="prompt"`; docs/official-clients.md says
#   so.
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


inputs.update(image={"type": "string", "format": "uri", "x-order": 0}, prompt={"type": "string", "x-order": 1})
for options in ({}, {"prompt_key": "prompt"}):
    answers[:] = [prediction("succeeded", ["a fox"])]
    Replicate(model="owner/name", **options).invoke("hello")
    print(options, posts.pop()["input"])
PYTHON
)
echo "langchain-community 0.4.2, replicate 1.0.7:"; echo "$seen"
[ "$seen" = "{} {'image': 'hello'}
{'prompt_key': 'prompt'} {'prompt': 'hello'}" ]
