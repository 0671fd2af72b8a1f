-- Start a prediction, do something else in the meantime, and wait for it.
-- $ kosmo lua --emulate examples/wait.lua

local picture = replicate.create("black-forest-labs/flux-schnell", { prompt = "a harbour at dawn", seed = 1 })
print("started: " .. picture.status)
print("greeted: " .. run("replicate/hello-world", { text = "meanwhile" }))

picture = wait(picture, { timeout = 60 })
print("ended:   " .. picture.status .. ", with " .. #picture.output .. " picture")

-- wait returns a failed prediction; run would raise an error.
local broken = wait(replicate.create("kosmolua/always-fails", { message = "out of paint" }))
print("ended:   " .. broken.status .. ": " .. broken.error)

--> started: starting
--> greeted: hello meanwhile
--> ended:   succeeded, with 1 picture
--> ended:   failed: out of paint
