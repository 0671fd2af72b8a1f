#!/usr/bin/env bash
# Packages: cog 0.16.12 and cog 0.23.1 (PyPI), the server inside Replicate's models.
# Expected: `POST /trainings`, which a running model offers in its schema and in its index, calls the model's `train`.
# Found: the server checks the input against the schema of `train`, and then calls `predict`. If `predict` has the same
#   parameters, the training succeeds with the output of a prediction. A server started with `--x-mode train` calls
#   `train`, but its answers do not show in which mode it runs.
# For users: `--cog owner/name=URL` of the emulator runs no trainings on that server, and asks for a second one
#   (kosmolua/emulator/cog/model.py); docs/emulator.md and docs/cog.md say how to start it.
set -euo pipefail
folder=$(mktemp -d); server=; trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT; cd "$folder"
export COG_PREDICT_TYPE_STUB=model.py:Predictor COG_TRAIN_TYPE_STUB=model.py:train COG_NO_UPDATE_CHECK=1
cat >model.py <<'PYTHON'
from cog import BasePredictor


def train(prompt: str) -> str:
    return f"trained with {prompt}"


class Predictor(BasePredictor):
    def predict(self, prompt: str) -> str:
        return f"predicted {prompt}"
PYTHON
printf 'predict: "model.py:Predictor"\ntrain: "model.py:train"\nbuild:\n  python_version: "3.11"\n' >cog.yaml
cat >ask.py <<'PYTHON'
import json, sys, urllib.request

body = json.dumps({"input": {"prompt": "a fox"}}).encode()
request = urllib.request.Request(f"{sys.argv[1]}/trainings", body, {"Content-Type": "application/json"})
answer = json.load(urllib.request.urlopen(request))
offered = json.load(urllib.request.urlopen(f"{sys.argv[1]}/"))["trainings_url"]
print(f"{offered} {answer['status']}: {answer['output']}")
PYTHON

# ask VERSION [OPTIONS]: starts the server of that version, asks it for a training, and stops it. 0.23 reads the schema
# that 0.16 has written.
ask() {
  version=$1; shift
  [ -d "$version" ] || { python3 -m venv "$version" &&
    "$version/bin/python" -m pip install --quiet --disable-pip-version-check "cog==$version" 2>/dev/null; }
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  PATH="$PWD/$version/bin:$PATH" PORT=$port "$version/bin/python" -m cog.server.http --host 127.0.0.1 "$@" >log 2>&1 &
  server=$!
  for _ in $(seq 100); do
    curl --silent "http://127.0.0.1:$port/health-check" | grep -q READY && break; sleep 0.2
  done
  mkdir -p .cog && curl --silent "http://127.0.0.1:$port/openapi.json" >.cog/openapi_schema.json
  echo "cog $version $*: $(python3 ask.py "http://127.0.0.1:$port")"
  kill "$server"; wait "$server" 2>/dev/null || true; server=
}

seen=$(ask 0.16.12; ask 0.16.12 --x-mode train; ask 0.23.1; ask 0.23.1 --x-mode train)
echo "$seen"
[ "$seen" = "cog 0.16.12 : /trainings succeeded: predicted a fox
cog 0.16.12 --x-mode train: /trainings succeeded: trained with a fox
cog 0.23.1 : /trainings succeeded: predicted a fox
cog 0.23.1 --x-mode train: /trainings succeeded: trained with a fox" ]
