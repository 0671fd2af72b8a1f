log(('\8'):rep(80) .. 'allowed')
error('\8\8\8')
