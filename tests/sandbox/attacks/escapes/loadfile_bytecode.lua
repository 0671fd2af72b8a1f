-- flags: --allow-read .
return loadfile('open/bytecode.lua')
