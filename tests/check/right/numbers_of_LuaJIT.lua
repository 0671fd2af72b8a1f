-- Numbers have the suffixes of LuaJIT.
local a, b, c = 5LL, 0x10ULL, 3i print(a, b, c, 1e3, .5, 0x.8p1, 3.)
