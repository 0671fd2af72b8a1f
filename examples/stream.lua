-- Print a model's text while it is written, one line at a time.
-- $ kosmo lua --emulate examples/stream.lua

local MODEL = "meta/meta-llama-3-8b-instruct"
local story = stream(MODEL, { prompt = "Describe a river", max_tokens = 24, temperature = 0 })

local line = ""
for event in story do
  if event.event == "output" then line = line .. event.data end
  if #line > 50 then
    print(line)
    line = ""
  end
end
print(line)

-- Get the whole text at once; lost connections are resumed as well.
local whole = stream(MODEL, { prompt = "Describe a river", max_tokens = 24, temperature = 0 }):text()
print("whole: " .. #whole .. " bytes")

--> Picture the river as the day begins. The light falls
-->  softly on the river. The river stands in it. The river
-->  stands in it.
--> whole: 121 bytes
