return (('a'):rep(20000)):find('.-.-.-.-b')
