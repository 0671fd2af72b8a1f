#!/usr/bin/env bash
# Package: replicate 1.0.7 (PyPI), the official Python client.
# Expected: events need no id (the standard says so, and Replicate's guide shows `done` without one): each is delivered.
# Found: until the first id arrives, an event is not delivered, and its text is put in front of the next event's text, with
#   a line break between them that the model never wrote. A stream without any id delivers nothing and ends without an error.
# For users: kosmolua delivers each event as it is; docs/official-clients.md names this difference.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check replicate==1.0.7
seen=$(venv/bin/python - <<'PYTHON'
import httpx
from replicate.client import Client
from replicate.stream import EventSource

first, with_id = "event: output\ndata: one\n\n", "event: output\nid: 1:0\ndata: two\n\n"
for body in (first + with_id, first + "event: done\ndata: {}\n\n"):
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body.encode())
    print([(event.event.value, event.data) for event in EventSource(Client(api_token="unused"), response)])
PYTHON
)
echo "replicate 1.0.7:"; echo "$seen"
[ "$seen" = "[('output', 'one\ntwo')]
[]" ] || [ "$seen" = "[('output', 'one\\ntwo')]
[]" ]
