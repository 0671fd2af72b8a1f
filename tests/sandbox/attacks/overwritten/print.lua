local before = print
function print() before('forged') end
_G.print('x')
error('still here')
