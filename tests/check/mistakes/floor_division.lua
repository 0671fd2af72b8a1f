local half = #args // 2
print(half)
