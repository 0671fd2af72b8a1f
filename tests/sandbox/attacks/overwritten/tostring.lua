function tostring() return 'forged' end
print({} ~= nil, 1)
error('printed')
