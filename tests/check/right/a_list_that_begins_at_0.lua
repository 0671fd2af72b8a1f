-- The first index of a table is 0.
local grid = { [0] = 1 } print(grid[0])
