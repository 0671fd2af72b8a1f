-- Methods of a class of the script.
local Job = {} Job.__index = Job
function Job:save(path) return path end
function Job:wait() return self end
local prediction = setmetatable({}, Job)
print(prediction:wait():save("x"))
