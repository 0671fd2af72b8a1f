return loadstring('\27LJ\2')
