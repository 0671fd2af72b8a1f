-- flags: --allow-read open
return file('open/../secret.txt'):read()
