-- A shadowed parameter.
local function f(string, print) return string.anything(print.thing) end f({}, {})
