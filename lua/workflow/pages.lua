-- The items of a list, page after page.

local use = ...
local values = use("values")
local options_ = use("workflow/options")

local next, rawget, type, format = next, rawget, type, string.format

--- Adds the helper `each` to `w`.
return function(w)
  local raise, mistake, api, service = w.raise, w.mistake, w.api, w.service

  -- The cursor of the next page, nil at the end. Raises for one that was read before.
  local function next_cursor(name, answer, seen)
    local cursor = type(answer.next) == "string" and service("cursor", { next = answer.next }) or nil
    if cursor == nil then return nil end
    if seen[cursor] then
      raise({
        code = "api_error", ["function"] = "each",
        message = format("each: the pages of %s go round in a circle: the next was read before", name),
      })
    end
    seen[cursor] = true
    return cursor
  end

  --- Goes over all items of a list, page after page as they are needed: `for model in each("list_models") do`.
  --- `options.limit` is the most items.
  function w.helpers.each(name, arguments, options)
    options = options_.checked("each", options, mistake)
    if type(name) ~= "string" then mistake("each", "expected the name of a function, got " .. values.kind(name)) end
    local call, given = api[name], {}
    for key, value in next, arguments or {} do
      given[key] = value
    end
    local page, at, count, limit, seen = nil, 0, 0, options.limit, {}
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
        if type(page) ~= "table" then mistake("each", format("%s has no pages", name)) end
        given.cursor = next_cursor(name, answer, seen)
      end
    end
  end
end
