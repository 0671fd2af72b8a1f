-- flags: --allow-read open
require('/etc/passwd')
