-- flags: --allow-read .
require('attack')
