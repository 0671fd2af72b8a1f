return io.lines('/etc/passwd')()
