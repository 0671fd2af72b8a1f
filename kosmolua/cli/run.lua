-- The script of `kosmo run`. Its argument is the job as JSON:
-- { ref, input, files = { { place, path }, … }, mode = "run", "stream" or "create", options, save, overwrite }.
-- Each line that the script prints is a piece of text as JSON, so that the host can show text before a newline comes.

local job = json.decode(args[1])

for _, one in ipairs(job.files) do
  local value, place = job.input, one[1]
  for i = 1, #place - 1 do
    value = value[place[i]]
  end
  local last = place[#place]
  value[type(last) == "number" and last + 1 or last] = file(one[2])
end

if job.mode == "create" then return { prediction = replicate.create(job.ref, job.input, job.options) } end

if job.mode == "stream" then
  local events, parts = replicate.stream(job.ref, job.input, job.options), {}
  for event in events do
    if event.event == "output" then
      parts[#parts + 1] = event.data
      print(json.encode(event.data))
    end
  end
  return { output = table.concat(parts), prediction = events.prediction, streamed = true }
end

local output, prediction = replicate.run(job.ref, job.input, job.options)

local function before(a, b)
  if type(a) == type(b) then return a < b end
  return type(a) == "number"
end

local files = {}

-- Collect the files in an output, in the order of their names and numbers.
local function collect(value)
  if getmetatable(value) == "file" then
    files[#files + 1] = value
  elseif type(value) == "table" then
    local keys = {}
    for key in pairs(value) do
      keys[#keys + 1] = key
    end
    table.sort(keys, before)
    for _, key in ipairs(keys) do
      collect(value[key])
    end
  end
end

collect(output)
local urls, saved = json.array {}, json.array {}
for number, one in ipairs(files) do
  urls[number] = one.url
  if job.save then
    local path = job.save
    if #files > 1 and path:sub(-1) ~= "/" then path = path:gsub("(%.?[^./]*)$", "-" .. number .. "%1", 1) end
    saved[number] = one:save(path, { overwrite = job.overwrite })
  end
end
return { output = output, prediction = prediction, urls = urls, saved = saved }
