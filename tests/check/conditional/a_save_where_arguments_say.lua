-- The arguments of the script decide where a file is saved.
local images = run("a/b", {})
if args[1] then images[1]:save(args[1]) end
for _, path in ipairs(args) do images[1]:save(path) end
local function keep(path) images[1]:save(path) end
if args[2] then keep(args[2]) end
