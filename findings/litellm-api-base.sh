#!/usr/bin/env bash
# Package: litellm 1.110.2 (PyPI).
# Expected: `api_base`, which litellm documents for every provider, sets the server that a completion is sent to, so that
#   a gateway or a local emulator can be used.
# Found: for Replicate it is ignored: the address is always the public API's, and the token is sent there.
# For users: docs/official-clients.md shows how LiteLLM reaches the emulator: as its proxy, with `emulator:serve --proxy`.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
export LITELLM_LOCAL_MODEL_COST_MAP=True
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check litellm==1.110.2
seen=$(venv/bin/python - <<'PYTHON'
from litellm import OpenAIConfig, ReplicateConfig

model, base = "meta/meta-llama-3-8b-instruct", "http://127.0.0.1:8000/v1"
for config in (OpenAIConfig(), ReplicateConfig()):
    url = config.get_complete_url(api_base=base, api_key="x", model=model, optional_params={}, litellm_params={})
    print(type(config).__name__, url)
PYTHON
)
echo "litellm 1.110.2:"; echo "$seen"
[ "$seen" = "OpenAIConfig http://127.0.0.1:8000/v1
ReplicateConfig https://api.replicate.com/v1/models/meta/meta-llama-3-8b-instruct/predictions" ]
