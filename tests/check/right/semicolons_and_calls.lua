-- Semicolons, and calls without parentheses.
local a; a = 1; (print or log)(a); ("x"):upper(); local t = { f = print; 1, 2 }; t.f"x"; t.f{1}
