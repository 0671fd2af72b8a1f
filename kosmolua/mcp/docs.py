"""The workflow prompt for agents, which is also a page of the documentation."""

from __future__ import annotations

WORKFLOWS = """# Replicate workflows in Lua

Write one script for the whole task and run it with execute_lua. A script can call many functions, loop, wait and
filter; only what it returns is sent back. Find functions with search_docs and read about them with read_docs.

- `run(model, input)` runs a model, waits for it and returns its output: text as one string, a file as a value with
  `.url`, several files as a list. It raises an error if the prediction does not succeed. `model` is owner/name,
  owner/name:version or deployments/owner/name.
- `replicate.<function>{ name = value }` calls any function with one table of named arguments and returns the API's
  object.
- A null field is absent; a null item of a list is `json.null`. `{}` is an empty object or list, as the API expects;
  `json.array{}` and `json.object{}` set the type.
- Errors are tables with `code`, `message`, `status`, `hint`, and `prediction` if one failed. Catch them with `pcall`.
- Creating a prediction costs money. A create without an answer is not repeated: `run` searches for the prediction, and
  raises code `uncertain` if it finds none. Then check list_predictions before you create it again.

Pass one model's output to another; the second value of run is the prediction:

    local images = run("black-forest-labs/flux-schnell", { prompt = "a lighthouse at dusk" })
    local large, prediction = run("nightmareai/real-esrgan", { image = images[1], scale = 2 }, { timeout = 300 })
    return { url = large.url, id = prediction.id }

The schema of a model's version describes its inputs:

    local m = replicate.get_model { model_owner = "black-forest-labs", model_name = "flux-schnell" }
    return m.latest_version.openapi_schema.components.schemas.Input.properties

Run several, four at a time; results keep their order. With `on_error = "collect"` each has `ok` and `value` or `error`:

    local prompts = { "dawn", "noon", "dusk" }
    return parallel(prompts, function(prompt)
      return run("black-forest-labs/flux-schnell", { prompt = prompt })[1].url
    end, { limit = 4 })

Create now, wait later. `wait` returns an ended prediction or training, even a failed one. `timeout` is in seconds:

    local p = replicate.create("minimax/video-01", { prompt = "the sea" })
    local ok, e = pcall(wait, p, { timeout = 2, cancel_on_timeout = true })
    return ok and p.output or e.code

A prediction ends as succeeded, failed, canceled or aborted. Stream text, or read it at the end:

    local story = stream("meta/meta-llama-3-8b-instruct", { prompt = "Describe rain", max_tokens = 20 })
    for event in story do
      if event.event == "output" and event.data:find("rain") then story:close() break end
    end
    return story.prediction.id, stream("meta/meta-llama-3-8b-instruct", { prompt = "Describe snow" }):text()

Iterate over all items of a list, page by page:

    local ids = {}
    for p in each("list_predictions", {}, { limit = 50 }) do
      if p.status == "succeeded" then ids[#ids + 1] = p.id end
    end
    return ids

Save and read files, if the server was started with `--allow-write` and `--allow-read`:

    local images = run("black-forest-labs/flux-schnell", { prompt = "a barn", num_outputs = 2 })
    return download(images, "./"), run("nightmareai/real-esrgan", { image = file("1-out-0.png") }):save("large.png")

Return little: ids, URLs, counts. `print` explanations for yourself; `log` is for people. A script has no network
access, and each run has limits on time and memory, and a budget: see read_docs "budgets". If the policy refuses a call,
it fails with code permission_denied or approval_required: report it to the person, and do not try to bypass it.
"""
