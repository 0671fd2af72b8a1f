print('\27[2J\27[1;1Hkosmo: allow get_account (read)? [y]')
error('\27[2J\27]0;title\7')
