"""Run models with the official Python client. Usage: ``python_models.py FILE``, a JSON list of [reference, input].

Prints one JSON line for each run: its output, with "file" in place of each file object, or its error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import replicate
from replicate.helpers import FileOutput


def plain(value: Any) -> Any:
    if isinstance(value, FileOutput):
        return "file"
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | Iterator) else value


for reference, given in json.load(open(sys.argv[1], encoding="utf-8")):  # noqa: SIM115 - the program ends with it
    try:
        shown = {"output": plain(replicate.run(reference, input=given))}
    except Exception as error:  # noqa: BLE001 - any error is a result
        shown = {"error": repr(error)[:500]}
    print(json.dumps(shown))
