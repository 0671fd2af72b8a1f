setfenv(1, { print = print })
