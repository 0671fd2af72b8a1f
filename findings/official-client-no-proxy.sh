#!/usr/bin/env bash
# Package: replicate 1.0.7 with httpx 0.28.1 (PyPI).
# Expected: `HTTPS_PROXY` and `HTTP_PROXY` apply to the official client, as they apply to httpx, which it uses: in a
#   network that has only a proxy to the outside, requests go through the proxy.
# Found: the client passes a transport to httpx, and httpx then ignores these variables. Requests go to the server
#   directly, with and without asyncio. A transport with a proxy must be passed: `Client(transport=…)`.
# For users: docs/emulator.md, "Programs without an address", says that the client needs no proxy, since it reads
#   `REPLICATE_BASE_URL`.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
unset NO_PROXY no_proxy ALL_PROXY all_proxy
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check replicate==1.0.7 httpx==0.28.1
seen=$(venv/bin/python - <<'PYTHON'
import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import replicate

asked = []


def serving(name):
    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(name)
            body = json.dumps({"type": "user", "username": name, "name": name}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


api, proxy = serving("server"), serving("proxy")
os.environ["HTTP_PROXY"] = os.environ["HTTPS_PROXY"] = proxy
client = replicate.Client(api_token="any", base_url=api)
httpx.get(f"{api}/v1/account")
print("httpx:", asked.pop())
print("replicate:", client.accounts.current().username)
print("replicate with asyncio:", asyncio.run(client.accounts.async_current()).username)
own = replicate.Client(api_token="any", base_url=api, transport=httpx.HTTPTransport(proxy=proxy))
print("replicate with a transport:", own.accounts.current().username)
PYTHON
)
echo "replicate 1.0.7:"; echo "$seen"
[ "$seen" = "httpx: proxy
replicate: server
replicate with asyncio: server
replicate with a transport: proxy" ]
