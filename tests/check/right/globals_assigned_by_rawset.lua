-- rawset assigns a global.
rawset(_G, "made", print) made(run("x/y", {}))
