--@ need: get_account
return 1
