while true do pcall(require, "a.b.c.d.e.f") end
