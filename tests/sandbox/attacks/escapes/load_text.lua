return load('return io.open or os.execute or debug or ffi or python or 1')()
