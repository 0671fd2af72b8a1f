--@ needs: get_account
--@ needs: *
return 1
