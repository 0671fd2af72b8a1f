return load('return io.popen or os.execute or debug.sethook or ffi or python or 1')()
