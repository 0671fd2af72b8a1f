jit.off()
jit.util.funcbc(print, 1)
