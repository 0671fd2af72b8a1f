-- Saving outputs of predictions.

local use = ...
local values, task = use("values"), use("task")
local options_ = use("workflow/options")

local tostring, type = tostring, type
local find, gsub, match, sub = string.find, string.gsub, string.match, string.sub
local files = values.files

local function name_in(url, before)
  local name = match(gsub(url, "[?#].*$", ""), "([^/]+)$")
  return before .. (find(url, "^data:") and "output" or name or "output")
end

local M = {}

local function save(w, url, path, options, mode)
  if type(url) ~= "string" then
    w.mistake("download", "expected a URL, or an output that is one, got " .. values.kind(url))
  end
  return w.service("download", { url = url, path = path, mode = options.overwrite and "replace" or mode })
end

--- Save an output to a path that the script may write to. Takes its URL, its value, or a list of them with a path
--- that ends in "/". Returns `{ path, size, sha256, content_type }`, or a list of those.
--- A file that the run did not write is never replaced, unless `overwrite = true`: it is an error, and below "dir/" a
--- free name is taken.
function M.download(w, what, path, options)
  options = options_.checked("download", options, w.mistake)
  if options.overwrite ~= nil and type(options.overwrite) ~= "boolean" then
    w.mistake("download", "expected true or false as `overwrite`, got " .. values.kind(options.overwrite))
  end
  if type(path) ~= "string" then w.mistake("download", "expected a path to save to, got " .. values.kind(path)) end
  local is_directory = sub(path, -1) == "/"
  if type(what) == "table" and not files[what] and values.shape(what) then
    if not is_directory then w.mistake("download", 'expected a path that ends in "/" for a list of files') end
    return task.parallel(what, function(item, index)
      local one = files[item] and files[item].url or item
      return save(w, one, path .. name_in(tostring(one), index .. "-"), options, "free")
    end)
  end
  local url = files[what] and files[what].url or what
  if is_directory and type(url) == "string" then path = path .. name_in(url, "") end
  return save(w, url, path, options, is_directory and "free" or nil)
end

return M
