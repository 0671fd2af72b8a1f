-- flags: --allow-read open
require('../secret')
