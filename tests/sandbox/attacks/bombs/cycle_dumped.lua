local t = {}
t.t = t
dump(t)
error('dumped')
