return (('a'):rep(4e6) .. 'c'):find(('a'):rep(2e6) .. 'b', 1, true)
