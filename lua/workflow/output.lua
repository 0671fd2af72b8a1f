-- Predictions and their outputs, as scripts see them.

local use = ...
local values = use("values")

local getmetatable, next, rawequal, rawget, setmetatable, tonumber, type = getmetatable, next, rawequal, rawget,
  setmetatable, tonumber, type
local byte, find, format, gmatch, sub, concat = string.byte, string.find, string.format, string.gmatch, string.sub,
  table.concat
local min = math.min
local null = values.null

local MAX_ID = 200 -- characters
local MAX_SHOWN = 300 -- bytes of a field in a prediction's text
local LOGS_READ = 4000 -- bytes from the end, for the last progress bar
local BAR = "%f[%d](%d%d?%d?)%%[ \t]*|[^\r\n|]*|[ \t]*(%d+)/(%d+)"
local MAX_DIGITS = 15 -- digits of a number of steps, which doubles hold exactly

local M = {
  TERMINAL = { succeeded = true, failed = true, canceled = true, aborted = true },
}

function M.is_table(value) return type(value) == "table" and not rawequal(value, null) end

local is_table = M.is_table

local function copy(value)
  if not is_table(value) then return value end
  local made = {}
  for key, item in next, value do
    made[key] = copy(item)
  end
  return (next(made) == nil and values.shape(value)) and values.array(made) or made
end

-- Whether the value is the URL of a file: models also return other text where their schema describes a file.
local function is_url(value)
  if type(value) ~= "string" then return false end
  return find(value, "^[hH][tT][tT][pP][sS]?://") ~= nil or find(value, "^[dD][aA][tT][aA]:") ~= nil
end

M.is_url = is_url

-- Replaces the URLs at a place, which is a list of names; "*" means every item.
local function change_at(value, place, at, change)
  if at > #place then return is_url(value) and change(value) or value end
  if not is_table(value) then return value end
  local step = place[at]
  if step == "*" then
    for key, item in next, value do
      value[key] = change_at(item, place, at + 1, change)
    end
  elseif value[step] ~= nil then
    value[step] = change_at(value[step], place, at + 1, change)
  end
  return value
end

--- The parts as one text; nil if one of them is not a string.
function M.joined(parts)
  for i = 1, #parts do
    if type(parts[i]) ~= "string" then return nil end
  end
  return concat(parts)
end

--- An output as its schema describes it: text joined, and `as_file(url)` for each of its files.
function M.shown(output, described, as_file)
  if described.kind == "concatenate" and is_table(output) then return M.joined(output) or output end
  local places = described.files
  if #places == 0 then return output end
  output = copy(output)
  for i = 1, #places do
    output = change_at(output, places[i], 1, as_file)
  end
  return output
end

--- Whether a later call can use this id. kosmolua.replicate.ids has the same rule.
function M.is_id(value)
  return type(value) == "string" and #value <= MAX_ID and find(value, "^[%w_.~:-]+$") ~= nil
    and not find(value, "^%.+$")
end

--- Whether an answer is a prediction or a training. It is not if a proxy answered instead of the API.
function M.is_prediction(value)
  return is_table(value) and M.is_id(value.id) and type(value.status) == "string"
end

--- Whether a value is a request, which a dry run returns instead of an answer.
function M.is_request(value)
  if not is_table(value) or type(value.method) ~= "string" or type(value.url) ~= "string" then return false end
  return is_table(value.headers) and value.headers.Authorization == "Bearer [hidden]"
end

--- Gives predictions and trainings in an answer a one-line text form. Returns the answer.
function M.named(answer)
  if not is_table(answer) then return answer end
  if type(rawget(answer, "status")) == "string" and type(rawget(answer, "id")) == "string" and not getmetatable(answer) then
    return setmetatable(answer, values.Job)
  end
  local items = rawget(answer, "results")
  if is_table(items) then
    for i = 1, #items do
      M.named(items[i])
    end
  end
  return answer
end

--- "prediction" or "training", according to the link that the API gave the job.
function M.kind_of(prediction)
  local urls = prediction.urls
  local link = type(urls) == "table" and urls.get
  return type(link) == "string" and find(link, "/trainings/", 1, true) and "training" or "prediction"
end

--- A prediction's name in messages, which is its id and the URL of its page, if it has one. Also returns that URL.
function M.about(prediction)
  local urls = prediction.urls
  local web = type(urls) == "table" and urls.web
  return prediction.id .. (web and format(" (%s)", web) or ""), web
end

local function text_field(job, name)
  local value = rawget(job, name)
  return type(value) == "string" and value ~= "" and values.scrub(sub(value, 1, MAX_SHOWN)) or nil
end

function values.Job.__tostring(job)
  local model, failure = text_field(job, "model"), text_field(job, "error")
  return format("%s %s%s: %s%s", M.kind_of(job), text_field(job, "id") or "?", model and " of " .. model or "",
    text_field(job, "status") or "?", failure and ": " .. failure or "")
end

--- The last progress bar in the logs: percent, step, steps. kosmolua/services/progress.py has the same rule.
function M.progress(logs)
  local found
  if type(logs) ~= "string" then return nil end
  for percent, step, steps in gmatch(sub(logs, -LOGS_READ), BAR) do
    if #step <= MAX_DIGITS and #steps <= MAX_DIGITS then
      found = { percent = min(100, tonumber(percent)), step = tonumber(step), steps = tonumber(steps) }
    end
  end
  return found
end

--- Continue the checksum `sum` with more bytes. Text that is compared by checksum does not have to be kept.
function M.summed(text, sum)
  for i = 1, #text do
    sum = (sum * 31 + byte(text, i)) % 2147483647
  end
  return sum
end

--- The code of an error table, by raw access.
function M.code_of(failure) return type(failure) == "table" and rawget(failure, "code") end

return M
