-- flags: --allow-read open
require('open.linked')
