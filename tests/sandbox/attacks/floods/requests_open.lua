-- flags: --cpu-limit 5 --memory-limit 128M
for _ = 1, 20000 do spawn(function() sleep(1000) end) end
