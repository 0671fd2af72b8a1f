return ffi.C.getpid()
