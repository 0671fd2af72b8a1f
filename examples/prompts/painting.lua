-- Prompts for pictures, used by ../modules.lua.
local M = {}

function M.of(subject)
  local found = {}
  for _, time in ipairs { "dawn", "dusk" } do
    found[#found + 1] = ("a %s at %s, in oil"):format(subject, time)
  end
  return found
end

return M
