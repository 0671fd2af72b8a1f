-- flags: --allow-read open
local files = {}
for i = 1, 101 do files[i] = file("open/note.txt") end
replicate.create_prediction { version = ("a"):rep(64), input = { x = files } }
