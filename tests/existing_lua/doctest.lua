-- Runs the tests of luafun: code, each followed by a comment with its output. `path` is the path of the test file.

package.path = "./?.lua;" .. package.path
each, replicate = nil, nil -- luafun does not replace globals that exist
require("fun")()
function dump(gen, init, state) each(print, gen, init, state) end
function dump_state(gen, init, state)
  for s in gen, init, state do
    print(s)
  end
end

local printed
local function collect(...)
  local words = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    words[i] = type(value) == "number" and math.floor(value) == value and string.format("%d", value) or tostring(value)
  end
  printed[#printed + 1] = table.concat(words, " ")
end

local passed, failures, usual = 0, {}, print
for code, expected in file(path):read():gmatch("(.-)%s*%-%-%[%[test\n?(.-)%-%-test%]%]") do
  printed = {}
  print = collect
  local f, message = loadstring(code)
  local ok = f ~= nil
  if ok then
    ok, message = pcall(f)
  end
  print = usual
  if not ok then printed[#printed + 1] = "error: " .. tostring(message):match(".-:%d+:%s*(.*)") end
  local text = #printed > 0 and table.concat(printed, "\n") .. "\n" or ""
  if text == expected then
    passed = passed + 1
  else
    failures[#failures + 1] = code:match("([^\n]*)%s*$") .. " gave " .. text
  end
end
return { passed = passed, failures = failures }
