-- Parse what a model wrote. Patterns use RE2 syntax and run in time linear in the text.
-- $ kosmo lua --emulate examples/regex.lua

local reply = run("replicate/hello-world", { text = "order 1042, due 2026-03-14; order 977, due 2026-04-01" })

for _, found in ipairs(regex.match_all(reply, [[order (?P<number>\d+), due (?P<due>[\d-]+)]])) do
  print(found.named.due .. "  order " .. found.named.number)
end

local masked, count = regex.gsub(reply, [[\b\d{3,4}\b,]], "***,")
print(masked)
local date = assert(regex.match(reply, [[\d{4}-\d\d-\d\d]]), "no date found")
print(count .. " numbers masked; first date at " .. date.start)

--> 2026-03-14  order 1042
--> 2026-04-01  order 977
--> hello order ***, due 2026-03-14; order ***, due 2026-04-01
--> 2 numbers masked; first date at 23
