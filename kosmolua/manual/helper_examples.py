"""A short example script for each helper. Tests run all of them with the emulator."""

from __future__ import annotations

EXAMPLES = {
    "run": 'local pictures = run("black-forest-labs/flux-schnell", { prompt = "a fox", num_outputs = 2 })\n'
    "print(pictures[1].url)",
    "create": 'local prediction = replicate.create("minimax/video-01", { prompt = "the sea" })\n'
    "print(prediction.id, prediction.status)",
    "wait": 'local prediction = replicate.create("replicate/hello-world", { text = "Ada" })\n'
    "print(wait(prediction, { timeout = 60 }).output)",
    "stream": 'for event in stream("meta/meta-llama-3-8b-instruct", { prompt = "rain" }) do\n  write(event.data)\nend',
    "each": 'for model in each("list_models", {}, { limit = 3 }) do\n  print(model.owner .. "/" .. model.name)\nend',
    "parallel": 'local greetings = parallel({ "Ada", "Bob" }, function(name)\n'
    '  return run("replicate/hello-world", { text = name })\nend, { limit = 2 })\nprint(greetings[2])',
    "spawn": 'local task = spawn(run, "replicate/hello-world", { text = "Ada" })\nprint(task:await())',
    "race": 'print(race({\n  function() return run("replicate/hello-world", { text = "Ada" }) end,\n'
    '  function() sleep(30) return "too late" end,\n}))',
    "download": "-- kosmo lua --allow-write out flow.lua\n"
    'local pictures = run("black-forest-labs/flux-schnell", { prompt = "a fox" })\n'
    'print(download(pictures, "out/")[1].path)',
    "file": "-- kosmo lua --allow-read . flow.lua\n"
    'print(run("nightmareai/real-esrgan", { image = file("cat.png"), scale = 2 }).url)',
    "write_file": '-- kosmo lua --allow-write out flow.lua\nwrite_file("out/notes.txt", "done\\n")',
    "append_file": '-- kosmo lua --allow-write out flow.lua\nappend_file("out/log.txt", "one more line\\n")',
    "cancel_all": 'replicate.create("minimax/video-01", { prompt = "the sea" })\nprint(#replicate.cancel_all())',
    "regex": 'print(regex.match("seed: 42", "seed: ([0-9]+)").groups[1])',
    "json": "print(json.encode({ sizes = { 1, json.null }, tags = json.array({}) }))",
    "stdin": '-- printf "Ada\\nBob\\n" | kosmo lua --emulate flow.lua\n'
    'for name in stdin:lines() do\n  print(run("replicate/hello-world", { text = name }))\nend',
    "docs": 'print(docs.search("save a file")[1].name)',
}
