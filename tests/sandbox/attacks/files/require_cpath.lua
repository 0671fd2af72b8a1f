-- flags: --allow-read .
require('open.native')
