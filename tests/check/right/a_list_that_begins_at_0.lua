-- A list that begins at 0.
local grid = { [0] = 1 } print(grid[0])
