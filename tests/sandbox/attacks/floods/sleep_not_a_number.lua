sleep(0 / 0)
