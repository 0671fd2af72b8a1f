-- Use a local picture as an input, and save the outputs.
-- $ kosmo lua --emulate --allow-read examples --allow-write examples examples/files.lua

local painted = run("black-forest-labs/flux-schnell", { prompt = "a red barn", width = 64, height = 64, seed = 2 })
local saved = painted[1]:save("examples/barn.png")
print("saved:    " .. saved.path .. ", " .. saved.content_type .. ", " .. saved.size .. " bytes")

local large = run("nightmareai/real-esrgan", { image = file("examples/barn.png"), scale = 2 })
print("enlarged: " .. large:save("examples/large.png").path)

-- Save a list of files with a path that ends in "/".
local both = run("black-forest-labs/flux-schnell", { prompt = "a barn", num_outputs = 2, seed = 2 })
for _, each_saved in ipairs(download(both, "examples/")) do
  print("and:      " .. each_saved.path)
end

-- Other directories are not accessible.
local _, refusal = pcall(download, large, "../large.png")
print("refused:  " .. refusal.code)

--> saved:    examples/barn.png, image/png, 2649 bytes
--> enlarged: examples/large.png
--> and:      examples/1-out-0.png
--> and:      examples/2-out-1.png
--> refused:  permission_denied
