"""Replicate's Python client at the API's own address. The client ignores HTTPS_PROXY, so it gets a transport with a
proxy.
"""

import os
import sys

import httpx
import replicate

client = replicate.Client(transport=httpx.HTTPTransport(proxy=os.environ["HTTPS_PROXY"]))
out = client.run("black-forest-labs/flux-schnell", input={"prompt": "x", "width": 16, "height": 16})
origin = "/".join(out[0].url.split("/")[:3])
sys.stdout.write(f"{origin} {type(out[0]).__name__} {out[0].read()[1:4].decode()}\n")
