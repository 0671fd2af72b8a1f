-- Runs the tests of a spec file, which returns a table of named tests. Each test gets `use`, the loader of the modules
-- under test. Returns one line for each test: "ok name" or "not ok name: reason".

local use, tests = ...

local names = {}
for name in pairs(tests) do
  names[#names + 1] = name
end
table.sort(names)

local lines = {}
for i, name in ipairs(names) do
  local ok, why = xpcall(function() tests[name](use) end, function(e)
    return type(e) == "string" and debug.traceback(e, 2) or tostring(e)
  end)
  lines[i] = ok and "ok " .. name or "not ok " .. name .. ": " .. why
end
return table.concat(lines, "\0")
