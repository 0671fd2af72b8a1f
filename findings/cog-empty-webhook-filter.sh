#!/usr/bin/env bash
# Packages: cog 0.16.12 and cog 0.23.1 (PyPI), the server inside Replicate's models.
# Expected: `webhook_events_filter: []` means the same to every version.
# Found: 0.16.12 sends every event, as without a filter. 0.23.1 sends none, not even the last, so a client that
#   waits for it never returns.
# For users: docs/cog.md says to leave the filter out or to name events, and never to send an empty list.
set -euo pipefail
folder=$(mktemp -d); server=; trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT; cd "$folder"
export COG_PREDICT_TYPE_STUB=predict.py:Predictor COG_NO_UPDATE_CHECK=1
cat >predict.py <<'PYTHON'
from cog import BasePredictor


class Predictor(BasePredictor):
    def predict(self) -> str:
        return "done"
PYTHON
printf 'predict: "predict.py:Predictor"\nbuild:\n  python_version: "3.11"\n' >cog.yaml
cat >ask.py <<'PYTHON'
import json, sys, urllib.error, urllib.request

def post(body):
    request = urllib.request.Request(
        f"{sys.argv[1]}/predictions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return json.load(error)

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

events = []


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["status"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


receiver = HTTPServer(("127.0.0.1", 0), Webhook)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
answer = post({"input": {}, "webhook": f"http://127.0.0.1:{receiver.server_port}/", "webhook_events_filter": []})
threading.Event().wait(3)  # webhooks of a finished prediction arrive within this time
print(f"{answer['status']}, last event: {events[-1] if events else None}")
PYTHON

# ask VERSION: starts the server of that version, asks it, and stops it. 0.23 reads the schema that 0.16 has written.
ask() {
  python3 -m venv "$1" && "$1/bin/python" -m pip install --quiet --disable-pip-version-check "cog==$1" 2>/dev/null
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  PATH="$PWD/$1/bin:$PATH" PORT=$port "$1/bin/python" -m cog.server.http --host 127.0.0.1 >"$1.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    curl --silent "http://127.0.0.1:$port/health-check" | grep -q READY && break; sleep 0.2
  done
  mkdir -p .cog && curl --silent "http://127.0.0.1:$port/openapi.json" >.cog/openapi_schema.json
  echo "cog $1: $(python3 ask.py "http://127.0.0.1:$port")"
  kill "$server"; wait "$server" 2>/dev/null || true; server=
}

seen=$(ask 0.16.12; ask 0.23.1)
echo "$seen"
[ "$seen" = "cog 0.16.12: succeeded, last event: succeeded
cog 0.23.1: succeeded, last event: None" ]
