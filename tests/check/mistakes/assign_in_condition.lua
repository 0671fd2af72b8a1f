local count = #args
if count = 1 then
  print("one")
end
