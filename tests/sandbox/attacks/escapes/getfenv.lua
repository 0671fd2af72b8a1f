-- The environment of a host function would be the unrestricted one.
getfenv(print).os.execute('true')
