while true do time() end
