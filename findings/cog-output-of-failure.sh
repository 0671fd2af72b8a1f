#!/usr/bin/env bash
# Packages: cog 0.16.12 and cog 0.23.1 (PyPI), the server inside Replicate's models.
# Expected: a model that yields text and then fails leaves the text that it has yielded, and its own message.
# Found: 0.16.12 does so. 0.23.1 drops the output, and puts its own text before the message.
# For users: the text of a failed prediction is only in its stream; kosmolua's `stream` returns each piece as it arrives,
#   and docs/cog.md says when to use it.
set -euo pipefail
folder=$(mktemp -d); server=; trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT; cd "$folder"
export COG_PREDICT_TYPE_STUB=predict.py:Predictor COG_NO_UPDATE_CHECK=1
cat >predict.py <<'PYTHON'
from cog import BasePredictor, ConcatenateIterator


class Predictor(BasePredictor):
    def predict(self) -> ConcatenateIterator[str]:
        yield "half a story"
        raise ValueError("out of ideas")
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

answer = post({"input": {}})
print(f"{answer['status']}, output {answer.get('output')}, error {answer['error']}")
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
[ "$seen" = "cog 0.16.12: failed, output ['half a story'], error out of ideas
cog 0.23.1: failed, output None, error Prediction failed: Generator iteration error: ValueError: out of ideas" ]
