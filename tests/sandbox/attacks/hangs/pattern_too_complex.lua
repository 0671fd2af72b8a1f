return (('x'):rep(1e6)):match(('(.-)'):rep(31) .. ('x?'):rep(500))
