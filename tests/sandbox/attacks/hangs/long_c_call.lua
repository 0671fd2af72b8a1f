-- Single calls of C that take a while and end: nothing of Lua runs meanwhile.
local numbers = {}
for i = 1, 3e5 do numbers[i] = i * 7919 % 100003 end
while true do
  table.sort(numbers)
  numbers[1], numbers[#numbers] = numbers[#numbers], numbers[1]
end
