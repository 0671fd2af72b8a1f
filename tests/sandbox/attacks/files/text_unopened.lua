return file('secret.txt'):read()
