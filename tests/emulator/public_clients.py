"""Run public models in the emulator with kosmolua's `run` and the official clients; CI runs only a sample.

Usage: ``python tests/emulator/public_clients.py PATH PYTHON NODE_MODULES [NUMBER [CLIENT …]]``. PATH is the models.json
of the npm package ``all-the-public-replicate-models``, PYTHON an interpreter with replicate, NODE_MODULES a folder that
contains node_modules/replicate. The input of each model's default example must give the example's output, with one
file for each file in the example.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kosmolua import Host
from kosmolua.emulator import Emulator, running

HERE = Path(__file__).parent / "clients"
BATCH = 10  # models per script of `run`, whose results are bounded
SCRIPT = """
local results = {}
for i, item in ipairs(json.decode(file(args[1]):read())) do
  local ok, made = pcall(run, item[1], item[2])
  if not ok and made.code == "invalid_arguments" then -- an example of another version of the model
    ok, made = pcall(run, item[1], item[2], { validate = false })
  end
  if ok then results[i] = json.encode({ output = made }) else results[i] = json.encode({ error = tostring(made) }) end
end
return results
"""
Item = tuple[str, dict[str, Any]]
Runner = Callable[[list[Item], Path], Iterator[dict[str, Any]]]


def items_of(path: str, number: int | None = None) -> list[tuple[Item, Any]]:
    """The references, inputs and expected outputs of all models, or of NUMBER evenly chosen ones."""
    with open(path, encoding="utf-8") as file:
        models = [model for model in json.load(file) if (model.get("default_example") or {}).get("output") is not None]
    step = max(1, len(models) // number) if number else 1
    chosen = models[::step][:number]
    return [
        ((f"{model['owner']}/{model['name']}", model["default_example"]["input"]), model["default_example"]["output"])
        for model in chosen
    ]


def is_link(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://", "data:")) and not set(value) & set(" \n")


def plain(value: Any, *, joined: bool = False) -> Any:
    """The comparable form of a value: no empty or null members, "file" for each file, and one form of numbers."""
    if isinstance(value, dict):
        if isinstance(value.get("url"), str) and is_link(value["url"]):
            return "file"
        found = {name: plain(item) for name, item in value.items()}
        return {name: item for name, item in found.items() if item not in (None, [], {})}
    if isinstance(value, list):
        texts = joined and value and all(isinstance(item, str) and not is_link(item) for item in value)
        return "".join(value) if texts else [plain(item) for item in value]
    if is_link(value):
        return "file"
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def is_same(expected: Any, found: Any) -> bool:
    """Whether a value equals the example's output. Streamed text may be whole or in pieces."""
    forms = [(plain(expected, joined=joined), plain(found, joined=joined)) for joined in (False, True)]
    empty = expected in ("", [], {}) and found in ("", [], {}, None)
    return empty or any(one == other for one, other in forms)


def lines(command: list[Any], environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    yield from map(json.loads, done.stdout.splitlines())


def with_run(url: str) -> Runner:
    def runner(items: list[Item], folder: Path) -> Iterator[dict[str, Any]]:
        for start in range(0, len(items), BATCH):
            (folder / "batch.json").write_text(json.dumps(items[start : start + BATCH]))
            with Host(url=url, token="r8_any", read="allow", write="allow", allow_read=[str(folder)]) as host:
                result = host.run(SCRIPT, args=[str(folder / "batch.json")])
            if result.error:
                raise AssertionError(str(result.error))
            yield from map(json.loads, result.results[0])

    return runner


def with_python(url: str, python: str) -> Runner:
    variables = {"REPLICATE_BASE_URL": url.removesuffix("/v1"), "REPLICATE_API_TOKEN": "r8_any"}
    script = HERE / "python_models.py"
    return lambda _, folder: lines([python, script, folder / "items.json"], variables)


def with_javascript(url: str, modules: str) -> Runner:
    script = HERE / "javascript_models.mjs"
    return lambda _, folder: lines(["node", script, folder / "items.json", url, modules], {})


def wrong(runner: Runner, items: list[tuple[Item, Any]]) -> list[str]:
    """The problems found, one line for each model."""
    with tempfile.TemporaryDirectory() as name:
        folder, given = Path(name), [item for item, _ in items]
        (folder / "items.json").write_text(json.dumps(given))
        found = list(runner(given, folder))
    if len(found) != len(items):
        return [f"{len(found)} outputs of {len(items)} models"]
    return [
        f"{item[0]}: {json.dumps(shown)[:300]} instead of {json.dumps(expected)[:300]}"
        for (item, expected), shown in zip(items, found, strict=True)
        if "error" in shown or not is_same(expected, shown.get("output"))
    ]


def main(path: str, python: str, modules: str, number: str = "0", *names: str) -> int:
    items, failed = items_of(path, int(number) or None), 0
    with running(Emulator(models=path, outputs="data", speed=10_000)) as url:
        runners = {
            "run": with_run(url),
            "Python": with_python(url, python),
            "JavaScript": with_javascript(url, modules),
        }
        for name in names or runners:
            runner = runners[name]
            began = time.monotonic()
            faults = wrong(runner, items)
            failed += len(faults)
            for fault in faults:
                print(f"{name}: {fault}")
            print(f"{name}: {len(items) - len(faults)} of {len(items)} models in {time.monotonic() - began:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
