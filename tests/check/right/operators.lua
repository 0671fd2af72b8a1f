-- Operators with their precedences.
print(not 1 == 2, -2 ^ 2, "a" .. "b" .. 1, #"x" + 1, 2 ^ -1, 1 < 2 and 3 or 4)
