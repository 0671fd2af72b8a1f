return (('x'):rep(400)):match('(.*)(.*)(.*)%1%2%3y')
