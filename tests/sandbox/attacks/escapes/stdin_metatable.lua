return getmetatable(stdin), getmetatable(io.stdout), pcall(setmetatable, stdin, {})
