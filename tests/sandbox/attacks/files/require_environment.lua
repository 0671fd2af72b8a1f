-- A module is a script's own: it finds no more than the script does.
-- flags: --allow-read .
error(require('open.escape'))
