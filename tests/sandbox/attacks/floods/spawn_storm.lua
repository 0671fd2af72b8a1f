-- flags: --cpu-limit 5
while true do spawn(function() sleep(1000) end) end
