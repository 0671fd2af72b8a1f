return unpack({}, 0, 2 ^ 31 - 1)
