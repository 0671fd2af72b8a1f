-- flags: --record run.cassette --allow-write .
download('data:,x', 'run.cassette')
