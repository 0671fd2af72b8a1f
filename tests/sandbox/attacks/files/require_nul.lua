-- flags: --allow-read .
require('module\0')
