-- Names made by rawset.
rawset(_G, "made", print) made(run("x/y", {}))
