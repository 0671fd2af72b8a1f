if args[1] != "go" then
  print("stop")
end
