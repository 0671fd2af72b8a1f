-- Let a model write a prompt, paint it with a second, enlarge the picture with a third, and save it: `make demo`.
-- $ kosmo lua --emulate --allow-write . examples/demo.lua "a fox in the snow"

local subject = args[1] or "a fox in the snow"

local prompt = run("meta/meta-llama-3-8b-instruct", { prompt = "Describe " .. subject, max_tokens = 14, temperature = 0 })
print("prompt:   " .. prompt)

local images = run("black-forest-labs/flux-schnell", { prompt = prompt, seed = 7 })
local large = run("nightmareai/real-esrgan", { image = images[1], scale = 2 })
print("picture:  " .. large:save("demo/picture.png", { overwrite = true }).path)

--> prompt:   Think of the fox snow at the edge of a wide valley. It is
--> picture:  demo/picture.png
