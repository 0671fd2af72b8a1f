-- A local function with a helper's name.
local function run(list, options) return #list end print(run({}, { speed = 1 }))
