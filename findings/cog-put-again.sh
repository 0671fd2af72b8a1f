#!/usr/bin/env bash
# Packages: cog 0.16.12 and cog 0.23.1 (PyPI), the server inside Replicate's models.
# Expected: `PUT /predictions/ID`, which the server lists as `predictions_idempotent_url`, creates a prediction once: the
#   same request again gives the same prediction.
# Found: this holds only while the prediction runs. Once it has finished, the same request runs the model again under the
#   same id. If a client repeats a PUT because it got no answer, the work is done twice.
# For users: docs/cog.md says that a repeated PUT gives no protection; kosmolua looks for a create's prediction before it
#   sends the create again.
set -euo pipefail
folder=$(mktemp -d); server=; trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT; cd "$folder"
export COG_PREDICT_TYPE_STUB=predict.py:Predictor COG_NO_UPDATE_CHECK=1
cat >predict.py <<'PYTHON'
from cog import BasePredictor

runs = 0


class Predictor(BasePredictor):
    def predict(self) -> str:
        global runs
        runs += 1
        return f"run {runs}"
PYTHON
printf 'predict: "predict.py:Predictor"\nbuild:\n  python_version: "3.11"\n' >cog.yaml
cat >ask.py <<'PYTHON'
import json, sys, urllib.error, urllib.request

def put():
    request = urllib.request.Request(
        f"{sys.argv[1]}/predictions/p1", b'{"input": {}}', {"Content-Type": "application/json"}, method="PUT")
    answer = json.load(urllib.request.urlopen(request))
    return f"{answer['id']} {answer['output']}"

first = put()
while "READY" not in urllib.request.urlopen(f"{sys.argv[1]}/health-check").read().decode():
    pass
print(f"{first}, {put()}")
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
[ "$seen" = "cog 0.16.12: p1 run 1, p1 run 2
cog 0.23.1: p1 run 1, p1 run 2" ]
