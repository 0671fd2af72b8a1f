log('\27[2J\27[31mkosmo: token accepted\27[0m\r\nkosmo: done')
error('logged')
