"""Run every public model from a file of model documents in the emulator, outside CI.

Usage: ``python tests/emulator/public.py PATH [owner/name …]``. PATH is the models.json of the npm package
``all-the-public-replicate-models``, or a list of such documents. For each model, or for the named ones, the script
checks that the document is served unchanged, that the default example's input is accepted and gives the example's
output with files of the same kinds, and that another input gives an output that matches the schema.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from kosmolua.emulator import Emulator, ManualClock
from kosmolua.emulator.schema import check, plain, resolve
from kosmolua.emulator.synthesis import is_link, named

BASE = "http://emulator.localhost"


class WrongError(Exception):
    """A fault in a model's emulation."""


def form(value: Any) -> Any:
    """Replace each file in the value by the extension of its name."""
    if isinstance(value, list):
        return [form(item) for item in value]
    if isinstance(value, dict):
        return {name: form(item) for name, item in value.items()}
    if is_link(value) or (isinstance(value, str) and value.startswith(f"{BASE}/delivery/")):
        return ("file", named(value)[1])
    return value


def files(value: Any) -> Iterator[str]:
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from files(item)
    elif isinstance(value, str) and value.startswith(f"{BASE}/delivery/"):
        yield value


def finished(api: httpx.Client, clock: ManualClock, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/v1/predictions", json=body)
    if answer.status_code != httpx.codes.CREATED:
        raise WrongError(f"{answer.status_code} {answer.text}")
    clock.advance(60)
    done: dict[str, Any] = api.get(answer.json()["urls"]["get"]).json()
    if done["status"] != "succeeded":
        raise WrongError(f"{done['status']}: {done['error']}")
    return done


def run(api: httpx.Client, clock: ManualClock, model: dict[str, Any]) -> None:
    """Raise WrongError if the model does not behave as its document says."""
    if api.get(f"/v1/models/{model['owner']}/{model['name']}").json() != model:
        raise WrongError("another document")
    example, version = model["default_example"], model["latest_version"]
    schema, done = version["openapi_schema"], None
    if not example["data_removed"]:
        done = finished(api, clock, {"version": version["id"], "input": example["input"]})["output"]
    if done is not None and example["status"] == "succeeded" and example["output"] is not None:
        expected, found = form(example["output"]), form(done)
        if found not in (expected, [expected]):
            raise WrongError(f"expected {expected!r}, got {found!r}")
    made = finished(api, clock, {"version": version["id"], "input": other(schema, example["input"])})["output"]
    wrong = [*check(resolve(schema, "Output"), made, "output", schema)]
    if wrong and form(made) != form(example["output"]):
        raise WrongError(f"{wrong[0]}, got {made!r}")
    for url in [*files(done)][:1] + [*files(made)][:1]:
        if not (answer := api.get(url)).is_success or not answer.content:
            raise WrongError(f"{url}: {answer.status_code}")


def other(schema: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Another valid input: the first valid value, or the example's, for each required input, and a small picture."""
    shape = resolve(schema, "Input")
    wanted = [*shape.get("required", ()), *(name for name in ("width", "height") if name in shape["properties"])]
    return {name: _fitting(plain(shape["properties"][name], schema), given.get(name)) for name in wanted}


def _fitting(shape: dict[str, Any], value: Any) -> Any:
    if shape.get("enum"):
        return shape["enum"][0]
    if shape.get("type") in {"integer", "number"}:
        return shape.get("minimum", shape.get("default", 1))
    empty: dict[str, Any] = {"string": "another text", "boolean": True, "array": [], "object": {}}
    return empty.get(shape.get("type", ""), value)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(path: str, *names: str) -> int:
    models = [
        model
        for model in json.loads(Path(path).read_bytes())
        if not names or f"{model['owner']}/{model['name']}" in names
    ]
    clock = ManualClock()
    failures = 0
    started = time.perf_counter()
    emulator = Emulator(clock=clock, models=path)
    say(f"loaded {len(models)} models in {time.perf_counter() - started:.2f} s")
    with httpx.Client(
        transport=httpx.WSGITransport(app=emulator), base_url=BASE, headers={"Authorization": "Bearer x"}
    ) as api:
        for model in models:
            try:
                run(api, clock, model)
            except WrongError as failed:
                failures += 1
                say(f"{model['owner']}/{model['name']}: {str(failed)[:400]}")
    say(f"{len(models) - failures} of {len(models)} models as documented, in {time.perf_counter() - started:.0f} s")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
