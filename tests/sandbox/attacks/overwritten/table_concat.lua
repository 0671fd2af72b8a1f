table.concat = function() return 'forged' end
print('a', 'b')
error('printed')
