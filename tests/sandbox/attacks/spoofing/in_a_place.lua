-- The name that an error gives its place is the host's.
error('/etc/shadow:1: forged', 0)
