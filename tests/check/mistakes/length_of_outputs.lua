local images = run("acme/painter", { prompt = "a barn" })
if images.length > 1 then print("several") end
