-- flags: --allow-read open
return file('open/link.txt'):lines()()
