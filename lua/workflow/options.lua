-- The options of the helpers, and how a table of options is checked.

local use = ...
local values = use("values")

local gmatch, format = string.gmatch, string.format
local next, pairs, tostring, type = next, pairs, tostring, type
local concat, sort = table.concat, table.sort

local function words(text)
  local set = {}
  for word in gmatch(text, "%S+") do
    set[word] = true
  end
  return set
end

local M = {
  create = words("cancel_after lifetime webhook webhook_events_filter validate"),
  stream = words("cancel_after lifetime webhook webhook_events_filter validate"),
  run = words("cache cancel_after cancel_on_timeout interval lifetime max_interval on_progress timeout validate wait "
    .. "webhook webhook_events_filter"),
  wait = words("timeout deadline cancel_on_timeout on_update interval max_interval kind"),
  each = words("limit"),
  download = words("overwrite"),
  write_file = words("overwrite"),
}

local function listed(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  sort(names)
  return concat(names, ", ")
end

--- The options of the helper `name`, or an empty table. `mistake(name, message)` raises.
function M.checked(name, options, mistake)
  if options == nil then return {} end
  if type(options) ~= "table" then mistake(name, format("expected a table of options, got %s", values.kind(options))) end
  local known = M[name]
  for option in next, options do
    if not known[option] then
      local near = type(option) == "string" and use("advice").nearest(option, known)
      local rest = near and format("did you mean `%s`?", near) or "there are " .. listed(known)
      mistake(name, format("unknown option `%s`; %s", values.scrub(tostring(option)), rest))
    end
  end
  return options
end

--- An option in seconds, above zero, or zero too with `or_zero`.
function M.seconds(name, option, value, mistake, or_zero)
  if value == nil then return nil end
  if type(value) ~= "number" or not (value > 0 or (or_zero and value == 0)) then
    mistake(name, format("expected seconds as `%s`, got %s", option, values.amount(value)))
  end
  return value
end

return M
