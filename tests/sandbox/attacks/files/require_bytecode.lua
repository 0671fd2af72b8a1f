-- flags: --allow-read .
require('open.bytecode')
