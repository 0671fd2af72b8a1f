-- A branch that is never taken.
local DEBUG = false if DEBUG then trace("x") end
