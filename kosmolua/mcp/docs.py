"""What an agent reads: pages of the documentation and of each function, short, and the prompt that teaches it all."""

from __future__ import annotations

from typing import Any

from kosmolua.errors import UsageError
from kosmolua.replicate import catalogue, reference
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.search import search as search_functions
from kosmolua.topics import title, topics

MAX_HITS = 10

WORKFLOWS = """# Replicate workflows in Lua

Write one script that does the whole task, and run it with execute_lua: it calls many functions, loops, waits and
filters, and only what it returns comes back. Find functions with search_docs, read a function with read_docs.

- `run(model, input)` runs a model and returns its output: text as one string, files as values with `.url`, a list of
  them as a list. It waits until the model is done, and raises where it does not succeed. `model` is owner/name,
  owner/name:version or deployments/owner/name.
- `replicate.<function>{ name = value }` calls any function with one table of named arguments and returns the API's
  object.
- A field that is null is absent; an item of a list that is null is `json.null`. `{}` is an empty object where an object
  is expected, a list where a list is; `json.array{}` and `json.object{}` say which.
- What fails raises a table: `code`, `message`, `status`, `hint`, and `prediction` where one failed. Catch it with
  `pcall`.
- Creating a prediction costs money. A create that may have been done is not done again: `run` looks for it, and raises
  code `uncertain` where it finds nothing; look with list_predictions before you create again.

One model's output into another; the second value of run is the prediction:

    local images = run("black-forest-labs/flux-schnell", { prompt = "a lighthouse at dusk" })
    local large, prediction = run("nightmareai/real-esrgan", { image = images[1], scale = 2 }, { timeout = 300 })
    return { url = large.url, id = prediction.id }

What a model takes is in its version's schema:

    local m = replicate.get_model { model_owner = "black-forest-labs", model_name = "flux-schnell" }
    return m.latest_version.openapi_schema.components.schemas.Input.properties

Several at once, four at a time, in order; with `on_error = "collect"` each result has `ok` and `value` or `error`:

    local prompts = { "dawn", "noon", "dusk" }
    return parallel(prompts, function(prompt)
      return run("black-forest-labs/flux-schnell", { prompt = prompt })[1].url
    end, { limit = 4 })

Start now, wait later; `wait` returns a prediction or training however it ended, and `timeout` bounds both:

    local p = replicate.create("minimax/video-01", { prompt = "the sea" })
    local ok, e = pcall(wait, p, { timeout = 2, cancel_on_timeout = true })
    return ok and p.output or e.code

A prediction ends as succeeded, failed, canceled or aborted. Text, whole or while it comes:

    local story = stream("meta/meta-llama-3-8b-instruct", { prompt = "Describe rain", max_tokens = 20 })
    for event in story do
      if event.event == "output" and event.data:find("rain") then story:close() break end
    end
    return story.prediction.id, stream("meta/meta-llama-3-8b-instruct", { prompt = "Describe snow" }):text()

All items of a list, page after page:

    local ids = {}
    for p in each("list_predictions", {}, { limit = 50 }) do
      if p.status == "succeeded" then ids[#ids + 1] = p.id end
    end
    return ids

Saving files, where the server was started with directories (`--allow-write`, `--allow-read`):

    local images = run("black-forest-labs/flux-schnell", { prompt = "a barn", num_outputs = 2 })
    return download(images, "./"), run("nightmareai/real-esrgan", { image = file("1-out-0.png") }):save("large.png")

Return little: ids, URLs, counts. `print` what explains, `log` what only a person needs. A script has no network of its
own; a run has limits on time and memory, and a budget: see read_docs "budgets". What the policy refuses is refused to
the script as well, with code permission_denied or approval_required: tell the person, and do not try to get around it.
"""


def search(query: str) -> list[dict[str, str]]:
    """Functions and pages that fit, best first."""
    words = query.lower().split()
    pages = [
        {"name": name, "kind": "page", "summary": title(text)}
        for name, text in topics().items()
        if name in words or any(word in title(text).lower() for word in words if len(word) > 3)  # noqa: PLR2004 - small words fit everything
    ]
    functions = [
        {"name": hit.operation.name, "kind": hit.operation.access, "summary": hit.operation.summary}
        for hit in search_functions(query)
    ]
    return (functions + pages if len(functions) < MAX_HITS else functions[: MAX_HITS - len(pages)] + pages)[:MAX_HITS]


def read(name: str) -> str:
    """The page of that name. Raises a `UsageError` that names those that are near."""
    pages = {"workflows": WORKFLOWS, **topics()}
    if name in pages:
        return pages[name]
    operation = catalogue.find(name)
    if operation:
        return function(operation)
    from difflib import get_close_matches

    near = get_close_matches(name, [*pages, *(operation.name for operation in catalogue.OPERATIONS)], n=3)
    raise UsageError(
        f"no page is called {name[:100]!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""),
        hint=f"pages: {', '.join(pages)}; for functions use search_docs",
    )


def function(operation: Operation) -> str:
    """Everything a script needs to know of a function."""
    page = reference.page(operation)
    returns = page["returns"]
    facts = [
        'It can hold the answer back until the model is done: prefer = "wait".' if page["blocking"] else "",
        "It answers page by page." if page["paged"] else "",
        "Its answer is a secret." if page["secret"] else "",
    ]
    parts = [
        f"# {operation.name} ({operation.access})",
        " ".join(filter(None, [page["summary"], page["note"], *facts])),
        "## Parameters",
        "\n".join(map(_parameter, page["parameters"])) or "None: call it with {}.",
        f"## Returns {returns['type'] or 'nothing'}",
        "\n".join(filter(None, [returns["description"], *map(_field, returns["fields"])])),
        "## Example",
        f"```lua\n{page['examples']['lua']}\n```",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _parameter(item: dict[str, Any]) -> str:
    enum = f" One of {', '.join(item['enum'])}." if "enum" in item else ""
    return f"- {item['name']} ({item['type']}{', required' if item['required'] else ''}): {item['description']}{enum}"


def _field(item: dict[str, Any]) -> str:
    return f"- {item['name']} ({item['type']}{', optional' if item['optional'] else ''}): {item['description']}"
