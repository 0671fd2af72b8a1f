-- A class of the script has methods with the names of common mistakes.
local Job = {} Job.__index = Job
function Job:save(path) return path end
function Job:wait() return self end
local prediction = setmetatable({}, Job)
print(prediction:wait():save("x"))
