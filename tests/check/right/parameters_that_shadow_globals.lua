-- Parameters have the names of globals.
local function f(string, print) return string.anything(print.thing) end f({}, {})
