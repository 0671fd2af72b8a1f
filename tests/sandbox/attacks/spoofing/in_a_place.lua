-- The host, not the script, determines the file name in an error's place.
error('/etc/shadow:1: forged', 0)
