-- Each call of a C function takes some time, in which no Lua code runs.
local numbers = {}
for i = 1, 3e5 do numbers[i] = i * 7919 % 100003 end
while true do
  table.sort(numbers)
  numbers[1], numbers[#numbers] = numbers[#numbers], numbers[1]
end
