"""The official clients run their documented flows against the emulator as a server.

The clients have their own environments: KOSMOLUA_OFFICIAL_PYTHON names an interpreter that has `replicate`, and
KOSMOLUA_OFFICIAL_NODE_MODULES a folder that contains node_modules/replicate.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import other_clients
import public_clients
import pytest
from official import from_npm, from_pypi

from kosmolua.emulator import Emulator, running
from kosmolua.emulator.certificate import make_certificate, server_context
from kosmolua.testing import emulating

FLOWS = Path(__file__).parent / "clients"
PYTHON_CLIENT = "replicate==1.0.7"
JAVASCRIPT_CLIENT = "replicate@1.4.0"
MODELS = "all-the-public-replicate-models@1.352.0"
SAMPLE = 200


@pytest.fixture(scope="session")
def official_python():
    return from_pypi(PYTHON_CLIENT, variable="KOSMOLUA_OFFICIAL_PYTHON")


@pytest.fixture(scope="session")
def official_javascript():
    return from_npm(JAVASCRIPT_CLIENT, variable="KOSMOLUA_OFFICIAL_NODE_MODULES")


@pytest.fixture(scope="session")
def public_models():
    home = from_npm(MODELS, variable="KOSMOLUA_PUBLIC_MODELS")
    return home / "node_modules" / "all-the-public-replicate-models" / "models.json"


def flow(command, **environment):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, f"after: {done.stdout.split()}\n{done.stderr}"
    return done.stdout.split()


def test_python_client(official_python):
    """All documented flows work with the official Python client."""
    with running(Emulator()) as url:
        base = url.removesuffix("/v1")
        # The polling interval belongs to the client and need not be slow here.
        environment = {"REPLICATE_BASE_URL": base, "REPLICATE_API_TOKEN": "r8_any", "REPLICATE_POLL_INTERVAL": "0.05"}
        done = flow([official_python, FLOWS / "python_flows.py"], **environment)

    assert {"run", "stream", "wait", "cancel", "files", "trainings", "pages", "webhooks"} <= set(done)


def test_javascript_client(official_javascript):
    """All documented flows work with the official JavaScript client."""
    with running(Emulator()) as url:
        done = flow(["node", FLOWS / "javascript_flows.mjs", url, official_javascript])

    assert {"run", "stream", "wait", "cancel", "files", "trainings", "pages"} <= set(done)


def test_the_vercel_ai_sdk():
    """The image calls of the Vercel AI SDK run unchanged; `other_clients` also runs LiteLLM and LangChain."""
    home = from_npm(*other_clients.AI_SDK, variable="KOSMOLUA_AI_SDK")
    with running(Emulator(speed=5)) as url:
        environment = {"NODE_MODULES_HOME": str(home), "REPLICATE_URL": url, "REPLICATE_API_TOKEN": "r8_any"}
        done = flow(["node", FLOWS / "ai_sdk_flows.mjs", other_clients.SDXL], **environment)

    assert done == ["model", "1", "version", "1", "several", "2", "aspect", "1"]


@pytest.mark.parametrize("scheme", ["https", "data"])
def test_the_clients_read_output_files(official_python, official_javascript, tmp_path, scheme):
    """Over HTTPS and as data URLs, outputs are file objects that both clients can read."""
    certificate, key = make_certificate(str(tmp_path))
    options = {"secure": server_context(certificate, key)} if scheme == "https" else {"outputs": "data"}
    with emulating(**options) as emulator:
        environment = {
            **emulator.environment,
            "SSL_CERT_FILE": certificate,
            "NODE_EXTRA_CA_CERTS": certificate,
            "NODE_MODULES_HOME": str(official_javascript),
        }
        python = flow([official_python, FLOWS / "python_files.py"], **environment)
        javascript = flow(["node", FLOWS / "javascript_files.mjs"], **environment)

    assert ["FileOutput", scheme, "PNG"] == python == javascript


@pytest.mark.parametrize("client", ["run", "Python", "JavaScript"])
def test_a_sample_of_public_models(public_models, official_python, official_javascript, client):
    """Each model's example input gives the example's output and files; `public_clients` runs all models."""
    items = public_clients.items_of(public_models, SAMPLE)
    with running(Emulator(models=public_models, outputs="data", speed=10_000)) as url:
        runners = {
            "run": public_clients.with_run(url),
            "Python": public_clients.with_python(url, official_python),
            "JavaScript": public_clients.with_javascript(url, official_javascript),
        }
        wrong = public_clients.wrong(runners[client], items)

    assert (len(items), wrong) == (SAMPLE, [])
