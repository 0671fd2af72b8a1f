-- flags: --time-limit 0.3
sleep(1e7)
