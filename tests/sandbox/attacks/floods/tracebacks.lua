local function deep(n)
  if n == 0 then error('x') end
  return (deep(n - 1))
end
deep(5000)
