-- A local function has the name of a helper and other parameters.
local function run(list, options) return #list end print(run({}, { speed = 1 }))
