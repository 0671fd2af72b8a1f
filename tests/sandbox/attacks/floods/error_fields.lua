error({ message = ('m'):rep(1e6), code = ('c'):rep(1e6), hint = ('h'):rep(1e6), detail = ('d'):rep(1e6) })
