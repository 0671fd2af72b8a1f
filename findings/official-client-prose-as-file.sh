#!/usr/bin/env bash
# Package: replicate 1.0.7 (PyPI), the official Python client.
# Expected: the output of a model becomes a FileOutput if its schema says that it is a file.
# Found: the schema is not looked at. Every string that begins with "https:" or "data:" becomes a FileOutput, also a
#   sentence of a language model; the same file at an "http:" URL stays a string.
# For users: kosmolua makes a file value only where the schema says `format: uri`, and leaves all other text as it is.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check replicate==1.0.7
seen=$(venv/bin/python - <<'PYTHON'
import replicate
from replicate.helpers import transform_output

client = replicate.Client(api_token="unused")
for text in ("https://example.com/a.png", "http://example.com/a.png", "https: the scheme of secure addresses"):
    print(f"{text!r}: {type(transform_output(text, client)).__name__}")
PYTHON
)
echo "replicate 1.0.7:"; echo "$seen"
[ "$seen" = "'https://example.com/a.png': FileOutput
'http://example.com/a.png': str
'https: the scheme of secure addresses': FileOutput" ]
