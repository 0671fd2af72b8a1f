"""Run a model with Replicate's Python client and read the output file."""

import sys

import replicate

out = replicate.run("black-forest-labs/flux-schnell", input={"prompt": "x", "width": 16, "height": 16})
sys.stdout.write(f"{type(out[0]).__name__} {out[0].url.partition(':')[0]} {out[0].read()[1:4].decode()}\n")
