-- flags: --allow-read /
return file('/proc/self/environ'):read()
