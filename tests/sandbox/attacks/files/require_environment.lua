-- A module belongs to the script, and has access to no more than the script.
-- flags: --allow-read .
error(require('open.escape'))
