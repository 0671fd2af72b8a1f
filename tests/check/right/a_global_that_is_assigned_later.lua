-- A function calls a global that is assigned later.
function first() return second() end function second() return 1 end run(first())
