-- The items of a list, page by page.

local use = ...
local values = use("values")
local options_ = use("workflow/options")

local next, rawget, type, format = next, rawget, type, string.format

local MAX_EMPTY = 100 -- pages in a row that have no item but a next page

local M = {}

-- The cursor of the next page, nil at the end. Raises an error if that page was already read.
local function next_cursor(w, name, answer, seen)
  local cursor = type(answer.next) == "string" and w.service("cursor", { next = answer.next }) or nil
  if cursor == nil then return nil end
  if seen[cursor] then
    w.raise({
      code = "api_error", ["function"] = "each",
      message = format("each: the pages of %s form a cycle: the next page was already read", name),
    })
  end
  seen[cursor] = true
  return cursor
end

local function endless(w, name)
  w.raise({
    code = "api_error", ["function"] = "each",
    message = format("each: %d pages of %s in a row are empty, and the last one has a next page", MAX_EMPTY, name),
  })
end

--- Iterate over all items of a list, page by page: `for model in each("list_models") do`.
--- `options.limit` is the maximum number of items.
function M.each(w, name, arguments, options)
  options = options_.checked("each", options, w.mistake)
  if type(name) ~= "string" then w.mistake("each", "expected the name of a function, got " .. values.kind(name)) end
  local call, given = w.api[name], {}
  for key, value in next, arguments or {} do
    given[key] = value
  end
  local page, at, count, limit, seen, empty = nil, 0, 0, options.limit, {}, 0
  if given.cursor ~= nil then seen[given.cursor] = true end
  return function()
    while count ~= limit do
      if page and at < #page then
        at, count = at + 1, count + 1
        return page[at]
      end
      if page and not given.cursor then return nil end
      local answer = call(given)
      page, at = type(answer) == "table" and rawget(answer, "results"), 0
      if type(page) ~= "table" then w.mistake("each", format("%s has no pages", name)) end
      given.cursor = next_cursor(w, name, answer, seen)
      empty = #page == 0 and empty + 1 or 0
      if empty == MAX_EMPTY and given.cursor then endless(w, name) end
    end
  end
end

return M
