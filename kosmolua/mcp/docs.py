"""What an agent is taught: the prompt, which is a page of the documentation too."""

from __future__ import annotations

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
