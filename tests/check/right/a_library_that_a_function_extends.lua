-- A function adds fields to a standard library.
local function extend(t, more) for k, v in pairs(more) do t[k] = v end end
extend(string, { trim = function(s) return s end })
print(string.trim("x"), ("x"):trim())
