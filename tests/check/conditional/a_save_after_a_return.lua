-- A file is saved after the script may have ended.
if #args == 0 then
  print("usage: flow.lua PATH")
  return
end
run("a/b", { image = file(args[1]) })[1]:save("x.png")
