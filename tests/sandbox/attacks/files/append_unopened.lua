append_file('/etc/hosts', 'x')
