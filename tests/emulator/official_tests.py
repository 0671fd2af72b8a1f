"""Run the official Python client's own tests against the emulator, outside CI.

Usage: ``python tests/emulator/official_tests.py SOURCE PYTHON [pytest options]``. SOURCE is a checkout of
replicate-python 1.0.7, PYTHON an interpreter with replicate 1.0.7, pytest, pytest-asyncio, pytest-recording and respx.
Tests that fake the server's answers are excluded, because they send nothing to the emulator. The emulator gets the
models and versions that the tests name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kosmolua.emulator import Emulator, running
from kosmolua.emulator.certificate import make_certificate, server_context

# Loaded into the test process: sends the tests' requests to the emulator, and sets the event loop.
PLUGIN = """
import inspect

MOCKING = ("router", "respx", "MockTransport", "patch")


def pytest_collection_modifyitems(config, items):
    mocking = [item for item in items if any(word in inspect.getsource(item.function) for word in MOCKING)]
    items[:] = [item for item in items if item not in mocking]
    config.hook.pytest_deselected(items=mocking)
"""
STRING: dict[str, Any] = {"type": "string", "title": "Text"}
PICTURES = {"type": "array", "items": {"type": "string", "format": "uri"}}
TOKENS = {"type": "array", "items": STRING, "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"}
SDXL = "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
OTHER_SDXL = "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"
CANARY = "30e22229542eb3f79d4f945dacb58d32001b02cc313ae6f54eef27904edf3272"
LLAMA = "02e509c789964a7ea8736978a43525956ef40397be9033abf9fd2badfe68c9e3"
# The tests expect the API's answers at the time of the recording: the whole output before the end.
ROUNDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("not blocking", SDXL, {}),
    ("blocking", OTHER_SDXL, {"faults": ["early:*:times=*"], "outputs": "data"}),
)
LOOPS = ["asyncio_default_fixture_loop_scope=session", "asyncio_default_test_loop_scope=session"]


def document(slug: str, version: str, output: dict[str, Any], **fields: dict[str, Any]) -> dict[str, Any]:
    owner, name = slug.split("/")
    schemas = {"Input": {"type": "object", "properties": fields}, "Output": output}
    training = {"type": "object", "properties": {"input_images": STRING, "use_face_detection_instead": {}}}
    schema = {"openapi": "3.0.2", "components": {"schemas": {**schemas, "TrainingInput": training}}}
    made = {"id": version, "created_at": "2023-09-01T00:00:00Z", "cog_version": "0.8.3", "openapi_schema": schema}
    empty = ("description", "github_url", "paper_url", "license_url", "cover_image_url", "default_example")
    return {
        "url": f"https://replicate.com/{slug}",
        "owner": owner,
        "name": name,
        "visibility": "public",
        "run_count": 1,
        "created_at": "2023-08-01T00:00:00Z",
        "latest_version": made if version else None,
        **dict.fromkeys(empty),
    }


def documents(sdxl: str) -> list[dict[str, Any]]:
    """The models that the tests name, including their version of sdxl, and enough others for a second page."""
    return [
        document("stability-ai/sdxl", sdxl, PICTURES, prompt=STRING, width={}, height={}, seed={}),
        document("replicate/canary", CANARY, TOKENS, text=STRING),
        document("meta/llama-2-70b-chat", LLAMA, TOKENS, prompt=STRING),
        document("mattt/empty", "", STRING),
        *(document(f"acme/model-{number}", f"{number:064x}", STRING) for number in range(30)),
    ]


def run(source: str, python: str, url: str, certificate: str, folder: Path, *options: str) -> int:
    (folder / "asking.py").write_text(PLUGIN)
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "REPLICATE_BASE_URL": url.removesuffix("/v1"),
        "REPLICATE_API_TOKEN": "r8_any",
        "REPLICATE_POLL_INTERVAL": "0.05",
        "SSL_CERT_FILE": certificate,
    }
    command = [python, "-m", "pytest", "-q", "-p", "asking", "-p", "no:cacheprovider", "--disable-recording", "tests"]
    loops = [part for one in LOOPS for part in ("-o", one)]
    command += ["--tb=line", *loops, *options]
    return subprocess.run(command, cwd=source, env=environment, check=False).returncode


def main(source: str, python: str, *options: str) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate, key = make_certificate(name)
        failed = 0
        for chosen, sdxl, how in ROUNDS:
            (folder / "models.json").write_text(json.dumps(documents(sdxl)))
            emulator = Emulator(models=folder / "models.json", speed=4, **how)
            with running(emulator, secure=server_context(certificate, key)) as url:
                failed |= run(source, python, url, certificate, folder, "-k", chosen, *options)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
