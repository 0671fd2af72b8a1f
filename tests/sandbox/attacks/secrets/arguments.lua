for _, word in ipairs(args) do print(word) end
error(#args .. ' arguments')
