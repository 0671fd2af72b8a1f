"""Check all public models in Replicate's npm package all-the-public-replicate-models 1.352.0: successful inputs pass
the check, stubs can be loaded as Lua, pages can be printed, and examples are commands.

    npm pack all-the-public-replicate-models@1.352.0 && tar xzf all-the-public-replicate-models-*.tgz
    python tests/models/public.py package/models.json [owner/name …]

With names, prints the pages of these models. Exits with 1 if a figure is not as expected.
"""

import json
import shlex
import sys
from collections import Counter
from contextlib import ExitStack

from lupa.luajit21 import LuaRuntime

from kosmolua.cli.given import collect, divided
from kosmolua.manual.model_page import described, shown
from kosmolua.manual.model_stubs import model_stubs
from kosmolua.replicate.versions import Version, parse

EXPECTED = {
    "documents": 3808,
    "examples": 2822,  # those that succeeded, of the version shown
    "pass": 2814,  # the other examples lack a required input, or have an input that the schema does not have
    "converted": 95,
    "stubs that load": 3808,
    "pages": 3808,
    "examples that are commands": 3808,
}


def main(path, *names):
    with open(path, encoding="utf-8") as file:
        models = json.load(file)
    if names:
        for model in models:
            if f"{model['owner']}/{model['name']}" in names:
                print(page(model), end="\n\n")
        return 0
    found = Counter(documents=len(models))
    loads = LuaRuntime().eval("function(text) return load(text, '=stub', 't') ~= nil end")
    for model in models:
        found.update(checked(model))
        found["stubs that load"] += loads(stub(model))
        found["pages"] += all(c.isprintable() or c == "\n" for c in page(model))
        found["examples that are commands"] += is_command(model)
    for name, count in EXPECTED.items():
        print(f"{name:28} {found[name]:5}" + ("" if found[name] == count else f"  expected {count}"))
    return int(any(found[name] != count for name, count in EXPECTED.items()))


def version_of(model):
    latest = model.get("latest_version") or {}
    return Version(latest.get("id", ""), latest.get("openapi_schema"))


def checked(model):
    """The input of a successful example, checked against the schema of the example's version."""
    example, version = model.get("default_example") or {}, version_of(model)
    if example.get("status") != "succeeded" or example.get("version") != version.id or not version.schema:
        return {}
    fitted = version.inputs.fitted(example["input"])
    if fitted.problems:
        print(f"{model['owner']}/{model['name']}: {'; '.join(fitted.problems)}")
    return {"examples": 1, "pass": not fitted.problems, "converted": bool(fitted.changes)}


def reference(model):
    return f"{model['owner']}/{model['name']}"


def stub(model):
    return model_stubs({reference(model): version_of(model)})


def data(model, **options):
    return described(parse(reference(model)), model, version_of(model), "--write allow", **options)


def page(model):
    return shown(data(model))


def is_command(model):
    """Whether the example is a shell command that passes each required input to `kosmo run`."""
    words = shlex.split(data(model)["example"].replace("=@", "=https://example.com/"))  # reads no file
    inputs = version_of(model).inputs
    with ExitStack() as stack:
        given = collect(divided(words[5:]), inputs, stack).input
    return words[:5] == ["kosmo", "run", "--write", "allow", reference(model)] and set(given) == {
        field.name for field in inputs.fields if field.required
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
