"""What an agent is taught: the prompt, which is a page of the documentation too."""

from __future__ import annotations

WORKFLOWS = """# Replicate workflows in Lua

Write one script that does the whole task, and run it with execute_lua: it calls many functions, loops, waits and
filters, and only what it returns comes back. Find functions with search_docs, read a function with read_docs.

- `integrations.replicate.<function>{ name = value }` takes one table of named arguments and returns the API's object.
- A field that is null is absent; an item of a list that is null is `json.null`. `{}` is an empty object where an object
  is expected, a list where a list is; `json.array{}` and `json.object{}` say which.
- A failed call raises a table: `code`, `message`, `status`, `hint`, `retry_after`. Catch it with `pcall`.
- Lists answer one page: `results` and `next`. Pass the `cursor` of `next` to get the page behind.
- Creating a prediction costs money. A create that may have been done is not done again: the error's code is then
  `uncertain`; look with list_predictions before you create again.

A prediction that is waited for:

    local r = integrations.replicate
    local p = r.create_model_prediction {
      model_owner = "black-forest-labs", model_name = "flux-schnell",
      input = { prompt = "a lighthouse at dusk" }, prefer = "wait=10",
    }
    while p.status == "starting" or p.status == "processing" do
      sleep(0.5)
      p = r.get_prediction { prediction_id = p.id }
    end
    if p.status ~= "succeeded" then error(p.error or p.status) end
    return p.output

It ends as succeeded, failed, canceled or aborted. What a model takes is in its version's schema:

    local m = r.get_model { model_owner = "black-forest-labs", model_name = "flux-schnell" }
    return m.latest_version.openapi_schema.components.schemas.Input.properties

Several at once, four at a time, in order:

    local prompts = { "dawn", "noon", "dusk" }
    return parallel(prompts, function(prompt)
      return r.create_model_prediction {
        model_owner = "black-forest-labs", model_name = "flux-schnell",
        input = { prompt = prompt }, prefer = "wait",
      }.id
    end, { limit = 4 })

Return little: ids, URLs, counts. `print` what explains, `log` what only a person needs. A script has no files, no
network and no other modules; a run has limits on time and memory, and a budget: see read_docs "budgets". What the
policy refuses is refused to the script as well, with code permission_denied or approval_required: tell the person, and
do not try to get around it.
"""
