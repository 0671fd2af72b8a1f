for i = 1, 1e9 do write('x') end
