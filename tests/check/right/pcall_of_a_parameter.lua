-- A function passes its parameter to pcall.
local function attempt(what, f, ...) print(what, pcall(f, ...)) end
attempt("one", function() return run("black-forest-labs/flux-schnell", { promt = "x" }) end)
attempt("two", run, "a/b", 7)
