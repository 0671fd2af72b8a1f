-- flags: --allow-read .
require('linked.module')
