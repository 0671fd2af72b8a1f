#!/usr/bin/env bash
# Package: replicate 1.0.7 (PyPI), the official Python client.
# Expected: the stream of a canceled prediction ends differently from that of a successful one: the
#   last event says `{"reason": "canceled"}`.
# Found: both end the loop of `replicate.stream` in the same way, and `str(event)` of the last event is "" for both.
# For users: `replicate.stream` of kosmolua raises `prediction_failed` after the text of a canceled prediction. With the
#   official client read `event.data` of the `done` event; docs/official-clients.md names this difference.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check replicate==1.0.7
seen=$(venv/bin/python - <<'PYTHON'
import httpx
from replicate.client import Client
from replicate.stream import EventSource

text = "event: output\nid: 1:0\ndata: Once upon\n\n"
for end in ("{}", '{"reason": "canceled"}'):
    body = f"{text}event: done\nid: 2:0\ndata: {end}\n\n"
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body.encode())
    print(end, [str(event) for event in EventSource(Client(api_token="unused"), response)])
PYTHON
)
echo "replicate 1.0.7:"; echo "$seen"
[ "$seen" = "{} ['Once upon', '']
{\"reason\": \"canceled\"} ['Once upon', '']" ]
