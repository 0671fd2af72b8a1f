-- Arguments and options of calls are computed at run time.
local given, options = { prompt = "x" }, {}
for name, value in pairs(args) do given[name] = value options[name] = value end
replicate.get_prediction(given) run(args[1], given, options) run(table.unpack(args)) each(args[1], given)
