#!/usr/bin/env bash
# Packages: replicate 1.0.7 and httpx 0.28.1 (PyPI).
# Expected: a line of an event stream ends at a line feed or a carriage return only, as the standard says, so text of a
#   model arrives whole.
# Found: the client reads with httpx's iter_lines, which also ends a line at a form feed, U+0085 and U+2028. The rest of
#   the text then looks like a field without a name and is dropped, without an error.
# For users: kosmolua reads streams with its own decoder; tests/workflows/test_streams.py has these characters.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check replicate==1.0.7 httpx==0.28.1
seen=$(venv/bin/python - <<'PYTHON'
import httpx
from replicate.client import Client
from replicate.stream import EventSource

for separator in (" ", "\f", "\u0085", "\u2028"):
    body = f"event: output\nid: 1:0\ndata: one{separator}two\n\n".encode()
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)
    texts = [event.data for event in EventSource(Client(api_token="unused"), response)]
    print(f"U+{ord(separator):04X}: {texts}")
PYTHON
)
echo "replicate 1.0.7:"; echo "$seen"
[ "$seen" = "U+0020: ['one two']
U+000C: ['one']
U+0085: ['one']
U+2028: ['one']" ]
