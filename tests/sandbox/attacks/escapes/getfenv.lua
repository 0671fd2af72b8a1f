-- The environment of a host's function would be the real one.
getfenv(print).os.execute('true')
