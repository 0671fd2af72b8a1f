while true do dump({ 1, 2, 3 }) end
