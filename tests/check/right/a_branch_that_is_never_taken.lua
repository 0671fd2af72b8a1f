-- An undefined function is called only in a branch that is never taken.
local DEBUG = false if DEBUG then trace("x") end
