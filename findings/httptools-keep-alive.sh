#!/usr/bin/env bash
# Package: httptools 0.9.0 (llhttp).
# Expected: should_keep_alive() of HttpResponseParser says whether the connection may be used again once the answer has
#   been read.
# Found: it says so only inside the callbacks on_headers_complete and on_message_complete. When feed_data has returned it
#   is False for every answer that has a Content-Length: llhttp has forgotten the length by then, and takes the answer for
#   one that ends with the connection.
# For users: kosmolua/replicate/head.py itself evaluates the Connection header and the framing; otherwise each request
#   would open a new connection, without any error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check httptools==0.9.0
seen=$(venv/bin/python - <<'PYTHON'
import httptools

class Answer:
    def on_headers_complete(self):
        self.in_headers = parser.should_keep_alive()
    def on_message_complete(self):
        self.at_end = parser.should_keep_alive()

answer = Answer()
parser = httptools.HttpResponseParser(answer)
parser.feed_data(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
print(f"headers complete: {answer.in_headers}, message complete: {answer.at_end}, afterwards: {parser.should_keep_alive()}")
PYTHON
)
echo "httptools 0.9.0: $seen"
[ "$seen" = "headers complete: True, message complete: True, afterwards: False" ]
