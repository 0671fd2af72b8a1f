local parts, at = { '\27', 'LJ\2' }, 0
return load(function()
  at = at + 1
  return parts[at]
end)
