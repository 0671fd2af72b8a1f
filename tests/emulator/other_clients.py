"""Frameworks that use Replicate run their documented flows against the emulator, unchanged.

``python tests/emulator/other_clients.py [NAME …]`` runs all flows, outside CI: each framework gets an environment on
first use, unless its variable in `CLIENTS` names one. Frameworks that cannot set the API's address use
the emulator as a proxy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from official import from_npm, from_pypi

AI_SDK = ("ai@7.0.173", "@ai-sdk/replicate@3.0.46")
LANGCHAIN_JS = ("@langchain/community@1.1.29", "@langchain/core@1.4.0", "replicate@1.4.0", "undici@6.29.1")
LANGCHAIN = ("langchain-community==0.4.2", "replicate==1.0.7")
LITELLM = "litellm==1.110.2"
HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SDXL = "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf"
FLOWS = Path(__file__).parent / "clients"
Command = tuple[list[str | Path], dict[str, str]]


def litellm() -> Command:
    python = from_pypi(LITELLM, variable="KOSMOLUA_LITELLM")
    return [python, FLOWS / "litellm_flows.py"], {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def langchain() -> Command:
    return [from_pypi(*LANGCHAIN, variable="KOSMOLUA_LANGCHAIN"), FLOWS / "langchain_flows.py"], {}


def langchain_js() -> Command:
    home = str(from_npm(*LANGCHAIN_JS, variable="KOSMOLUA_LANGCHAIN_JS"))
    command = ["node", "--import", FLOWS / "javascript_proxy.mjs", FLOWS / "langchain_flows.mjs", HELLO]
    return command, {"NODE_MODULES_HOME": home, "UNDICI_HOME": home}


def ai_sdk() -> Command:
    home = from_npm(*AI_SDK, variable="KOSMOLUA_AI_SDK")
    return ["node", FLOWS / "ai_sdk_flows.mjs", SDXL], {"NODE_MODULES_HOME": str(home)}


CLIENTS = {"litellm": litellm, "langchain": langchain, "langchain-js": langchain_js, "ai-sdk": ai_sdk}
WITHOUT_ADDRESS = frozenset({"litellm", "langchain-js"})


def main(names: list[str]) -> int:
    from kosmolua.emulator import Emulator, running
    from kosmolua.emulator.certificate import make_certificate, server_context

    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = make_certificate(folder, "api.replicate.com")
        with running(Emulator(speed=5), proxied=server_context(certificate, key)) as url:
            proxy = url.removesuffix("/v1")
            own = {"HTTPS_PROXY": proxy, "SSL_CERT_FILE": certificate, "NODE_EXTRA_CA_CERTS": certificate}
            address = {"REPLICATE_BASE_URL": proxy, "REPLICATE_URL": url}
            for name in names or CLIENTS:
                command, more = CLIENTS[name]()
                more |= own if name in WITHOUT_ADDRESS else address
                environment = {**os.environ, "REPLICATE_API_TOKEN": "r8_any", **more}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                failed += done.returncode != 0
                print(name, "failed\n" + done.stderr if done.returncode else done.stdout.split())
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
